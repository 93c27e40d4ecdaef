package image

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"pyro.local/guest/internal/apart"
)

// copied copies and wants it to succeed.
func copied(t *testing.T, from, to string) Result {
	t.Helper()
	result, err := Copy(t.Context(), from, to)
	must(t, err)
	return result
}

func TestATreeOfAnOrdinaryUserIsCopiedAsItIs(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	nasty(t, from)
	before := portrait(t, from)
	result := copied(t, from, to)
	same(t, before, portrait(t, to))
	same(t, before, portrait(t, from))
	const size = 6 + 0 + 2 + 3 + 16*(3<<16+1) + 3 + 16<<20 + 5<<20 + 1 + 8<<20
	if result.Entries != len(before)-1 || result.Bytes != size || result.SkippedCount != 0 {
		t.Errorf("the copy says %d entries and %d bytes: %v", result.Entries, result.Bytes, result)
	}
}

func TestATreeOfRootComesThroughDescriptorsOntoADiskAsItIs(t *testing.T) {
	if !apart.Run(t, syscall.CLONE_NEWNS) {
		return
	}
	from, to := disk(t, 64), disk(t, 64)
	nasty(t, from)
	nastier(t, from)
	before := portrait(t, from)
	must(t, attach(filepath.Join(from, "empty"), "trusted.overlay.opaque", "y"))
	in, err := os.Open(from)
	must(t, err)
	defer in.Close()
	out, err := os.Open(to)
	must(t, err)
	defer out.Close()
	copied(t, fmt.Sprintf("/proc/self/fd/%d", in.Fd()), fmt.Sprintf("/proc/self/fd/%d", out.Fd()))
	same(t, before, portrait(t, to))
}

func TestWhatIsMountedIsCopiedButTheKernelsOwnAndTheDestination(t *testing.T) {
	if !apart.Run(t, syscall.CLONE_NEWNS) {
		return
	}
	layers, to, workspace := t.TempDir(), disk(t, 64), disk(t, 64)
	for _, name := range []string{"lower/proc", "lower/dev", "lower/workspace", "lower/out", "lower/same", "upper", "work", "merged"} {
		must(t, os.MkdirAll(filepath.Join(layers, name), 0o755))
	}
	lower, root := filepath.Join(layers, "lower"), filepath.Join(layers, "merged")
	nasty(t, workspace)
	must(t, os.WriteFile(lower+"/version", nil, 0o600), os.WriteFile(lower+"/changed", []byte("old"), 0o600),
		os.Link(lower+"/changed", lower+"/same/changed"))
	mount(t, "overlay", root, "overlay", 0, "lowerdir="+lower+",upperdir="+layers+"/upper,workdir="+layers+
		"/work,redirect_dir=on,index=on,xino=on,metacopy=off")
	must(t, os.WriteFile(root+"/changed", []byte("new"), 0o600))
	merged := portrait(t, root)
	mount(t, "proc", root+"/proc", "proc", 0, "")
	mount(t, "tmpfs", root+"/dev", "tmpfs", 0, "mode=1751")
	must(t, os.WriteFile(root+"/dev/file", []byte("in memory"), 0o444))
	mount(t, root+"/dev/file", root+"/version", "", syscall.MS_BIND, "")
	mount(t, workspace, root+"/workspace", "", syscall.MS_BIND, "")
	mount(t, to, root+"/out", "", syscall.MS_BIND, "")
	copied(t, root, to)

	got := portrait(t, to)
	for name, look := range portrait(t, workspace) {
		merged["/workspace"+name] = strings.ReplaceAll(look, `names ["/`, `names ["/workspace/`)
	}
	for name, look := range got {
		got[name] = strings.ReplaceAll(look, `" "/workspace/`, `" "/`)
	}
	for name, start := range map[string]string{"/proc": "mode 40555", "/dev": "mode 41751", "/out": "mode 40", "/version": "mode 100444"} {
		if !strings.HasPrefix(got[name], start) {
			t.Errorf("the mount point %s became %s", name, got[name])
		}
		merged[name] = got[name]
	}
	if !strings.Contains(got["/version"], ", 0 bytes") {
		t.Errorf("a file in memory was copied: %s", got["/version"])
	}
	delete(got, "/lost+found") // of the destination itself
	same(t, merged, got)
}

func TestAFullDestinationIsToldWithThePath(t *testing.T) {
	if !apart.Run(t, syscall.CLONE_NEWNS) {
		return
	}
	from := t.TempDir()
	must(t, os.Mkdir(from+"/a\n", 0o755), os.WriteFile(from+"/a\n/large", make([]byte, 4<<20), 0o600))
	for name, to := range map[string]string{"disk": disk(t, 2), "memory": t.TempDir()} {
		if name == "memory" {
			mount(t, "tmpfs", to, "tmpfs", 0, "size=1m")
		}
		_, err := Copy(t.Context(), from, to)
		if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), `"/a\n/large"`) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSocketsAreLeftOutAndTheFirstAreNamed(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	must(t, os.Mkdir(from+"/in", 0o755))
	listening(t, from+"/in", "socket")
	result := copied(t, from, to)
	if result.Entries != 1 || result.SkippedCount != 1 || !slices.Equal(result.Skipped, []string{"/in/socket"}) {
		t.Error(result)
	}
	for i := range maxSkipped {
		listening(t, from+"/in", fmt.Sprint(i))
	}
	result = copied(t, from, t.TempDir())
	if result.SkippedCount != maxSkipped+1 || len(result.Skipped) != maxSkipped {
		t.Error(result.SkippedCount, len(result.Skipped))
	}
	if names := slices.Sorted(maps.Keys(portrait(t, to))); !slices.Equal(names, []string{"", "/in"}) {
		t.Errorf("%q", names)
	}
}

// nest makes so many directories within each other and returns the path of the last, for which a system call has no room.
func nest(t *testing.T, top, name string, depth int) {
	t.Helper()
	t.Chdir(top)
	for range depth {
		must(t, os.Mkdir(name, 0o700), syscall.Chdir(name))
	}
}

func TestNamesOfOneFileAreFoundAcrossPathsTooLongForACall(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	name := strings.Repeat("n", 255)
	nest(t, from, name, 20)
	must(t, os.WriteFile("one", []byte("1"), 0o600), os.Mkdir("in", 0o700), os.Link("one", "in/two"), os.Link("one", "three"))
	result := copied(t, from, to)
	must(t, os.Chdir(to))
	for range 20 {
		must(t, syscall.Chdir(name))
	}
	var stat, other syscall.Stat_t
	must(t, syscall.Lstat("one", &stat), syscall.Lstat("in/two", &other))
	if stat.Nlink != 3 || stat.Ino != other.Ino || result.Entries != 24 {
		t.Error(stat.Nlink, other.Nlink, result.Entries)
	}
}

func TestDirectoriesWithinEachOtherAreBounded(t *testing.T) {
	from := t.TempDir()
	nest(t, from, "d", maxNesting)
	copied(t, from, t.TempDir())
	must(t, os.Mkdir("more", 0o700))
	if _, err := Copy(t.Context(), from, t.TempDir()); err == nil || !strings.Contains(err.Error(), "more than 1000 directories") {
		t.Error(err)
	}
}

func TestADestinationWithinTheSourceIsNotCopiedIntoItself(t *testing.T) {
	from := t.TempDir()
	must(t, os.Mkdir(from+"/out", 0o700), os.WriteFile(from+"/file", nil, 0o600))
	copied(t, from, from+"/out")
	if names := slices.Sorted(maps.Keys(portrait(t, from+"/out"))); !slices.Equal(names, []string{"", "/file", "/out"}) {
		t.Errorf("%q", names)
	}
	if _, err := Copy(t.Context(), from, from); err == nil || !strings.Contains(err.Error(), "is the source") {
		t.Error(err)
	}
}

func TestACopyOntoSomethingElseDoesNotReplaceIt(t *testing.T) {
	from, to, outside := t.TempDir(), t.TempDir(), t.TempDir()
	must(t, os.Mkdir(from+"/name", 0o700), os.WriteFile(from+"/name/file", nil, 0o600), os.Symlink(outside, to+"/name"))
	if _, err := Copy(t.Context(), from, to); !errors.Is(err, syscall.ENOTDIR) || !strings.Contains(err.Error(), `"/name"`) {
		t.Error(err)
	}
	if names := portrait(t, outside); len(names) != 1 {
		t.Errorf("a link led out: %v", names)
	}
	taken := t.TempDir()
	must(t, os.WriteFile(taken+"/file", []byte("kept"), 0o600))
	if _, err := Copy(t.Context(), from+"/name", taken); !errors.Is(err, syscall.EEXIST) {
		t.Error(err)
	}
}

func TestACancelledCopyEnds(t *testing.T) {
	from := t.TempDir()
	must(t, os.WriteFile(from+"/file", nil, 0o600))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Copy(ctx, from, t.TempDir()); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
