package process

import "time"

// AwaitRest waits until nothing in the command's group lives, at most so long. Without cgroups it does not wait: then
// nothing tells who that would be.
func (p *Process) AwaitRest(limit time.Duration) {
	if p.group.path != "" {
		_ = p.group.awaitEmpty(limit) // over time or not, what is left is for End
	}
}
