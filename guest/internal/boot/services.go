package boot

import "os"

// Services returns the directory for what services leave behind. It is on the scratch disk itself, where no path of the
// machine leads, and stays there when the machine ends.
func (r *Root) Services() (string, error) {
	path := r.path("services")
	return path, os.MkdirAll(path, 0o700)
}
