package tree

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"pyro.local/guest/internal/at"
)

// exported packs a path.
func exported(t testing.TB, root *Root, path string) (*bytes.Buffer, Result) {
	t.Helper()
	var out bytes.Buffer
	result, err := root.Export(context.Background(), path, &out)
	must(t, err)
	return &out, result
}

func names(t testing.TB, stream []byte) (names []string) {
	t.Helper()
	in := tar.NewReader(bytes.NewReader(stream))
	for {
		header, err := in.Next()
		if err == io.EOF {
			return names
		}
		must(t, err)
		names = append(names, header.Name)
	}
}

func TestANastyTreeSurvivesTheJourney(t *testing.T) {
	from, to := temp(t), temp(t)
	nasty(t, from)
	before := portrait(t, from)
	stream, packed := exported(t, opened(t, from), "")
	same(t, before, portrait(t, from))
	unpacked, err := opened(t, to).pushed("", bytes.NewReader(stream.Bytes()))
	must(t, err)
	same(t, before, portrait(t, to))
	if n := len(before) - 1; packed.Entries != n || unpacked.Entries != n || packed.Bytes != unpacked.Bytes {
		t.Error(n, packed, unpacked)
	}
	// Into a directory that is to be made, and from there once more, to the same bytes.
	to = temp(t)
	if _, err := opened(t, to).pushed("made/for/it", bytes.NewReader(stream.Bytes())); err != nil {
		t.Fatal(err)
	}
	same(t, before, portrait(t, filepath.Join(to, "made/for/it")))
	again, _ := exported(t, opened(t, to), "made/for/it")
	if !bytes.Equal(stream.Bytes(), again.Bytes()) {
		t.Error("the second export differs from the first")
	}
}

func TestPushMakesHolesOfBlocksOfZeros(t *testing.T) {
	from, to := temp(t), temp(t)
	block := strings.Repeat("\x00", blockSize)
	file(t, from, "holes", "x"+block+block+block+"y"+strings.Repeat(block, 300))
	stream, _ := exported(t, opened(t, from), "")
	_, err := opened(t, to).pushed("", stream)
	must(t, err)
	var stat syscall.Stat_t
	must(t, syscall.Stat(filepath.Join(to, "holes"), &stat))
	if stat.Size != 304*blockSize+1-blockSize+1 || stat.Blocks*512 > 3*blockSize {
		t.Errorf("%d bytes lie in %d blocks", stat.Size, stat.Blocks)
	}
}

func TestTheNamesOfAnExportAreSortedAsPaths(t *testing.T) {
	top := temp(t)
	for _, name := range []string{"a/c", "a.b", "a0", "a/b/d", "a-", "A"} {
		file(t, top, name, name)
	}
	stream, _ := exported(t, opened(t, top), "")
	got := names(t, stream.Bytes())
	want := []string{".", "A", "a", "a-", "a.b", "a/b", "a/b/d", "a/c", "a0"}
	if !slices.Equal(got, want) {
		t.Error(got)
	}
}

func TestAFileOrALinkIsExportedAlone(t *testing.T) {
	top := temp(t)
	file(t, top, "d/f", "content")
	must(t, os.Symlink("d/f", filepath.Join(top, "link")), os.Symlink("gone", filepath.Join(top, "dangling")),
		os.Symlink("/workspace/d", filepath.Join(top, "absolute")), os.Symlink("/etc/passwd", filepath.Join(top, "out")),
		os.Symlink("../..", filepath.Join(top, "d/up")))
	root := opened(t, top)
	for path, want := range map[string]struct {
		kind    Kind
		entries int
	}{
		"d/f": {File, 1}, "link": {File, 1}, "dangling": {Symlink, 1}, "absolute": {Directory, 2}, "absolute/f": {File, 1},
		"d/": {Directory, 2}, "out": {Symlink, 1}, "d/up": {Symlink, 1},
	} {
		stream, result := exported(t, root, path)
		if got := names(t, stream.Bytes())[0]; got != "." || result.Type != want.kind || result.Entries != want.entries {
			t.Errorf("%s: %s %+v", path, got, result)
		}
	}
	_, err := root.Export(context.Background(), "d/up/x", io.Discard)
	wantCode(t, err, PathOutside)
}

func TestWhatCannotTravelIsNamed(t *testing.T) {
	top := temp(t)
	file(t, top, "f", "f")
	must(t, syscall.Mkfifo(filepath.Join(top, "fifo"), 0o600), os.Mkdir(filepath.Join(top, "d"), 0o755))
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	must(t, err)
	defer syscall.Close(fd)
	t.Chdir(top)
	must(t, syscall.Bind(fd, &syscall.SockaddrUnix{Name: "d/socket"}))
	root := opened(t, top)
	_, result := exported(t, root, "")
	if !slices.Equal(result.Skipped, []string{"d/socket", "fifo"}) || result.SkippedCount != 2 || result.Entries != 2 {
		t.Error(result)
	}
	_, err = root.Export(context.Background(), "fifo", io.Discard)
	wantCode(t, err, NotAFile)
}

func TestTreesDeeperThanAPathAreExportedAndErased(t *testing.T) {
	top := temp(t)
	deep(t, top, 60, strings.Repeat("d", 200))
	root := opened(t, top)
	stream, result := exported(t, root, "")
	if got := names(t, stream.Bytes()); len(got) != 62 || len(got[61]) != 60*201+3 || result.Entries != 61 {
		t.Error(len(got), result)
	}
	_, err := root.pushed("", stream)
	wantCode(t, err, BadArchive) // nobody could name it
	must(t, root.erase(root.fd, strings.Repeat("d", 200)))
	deep(t, top, maxNesting+eraseDepth*3, "n")
	_, err = root.Export(context.Background(), "", io.Discard)
	wantCode(t, err, TooManyEntries)
	must(t, root.erase(root.fd, "n"))
	if entries, err := os.ReadDir(top); err != nil || len(entries) != 0 {
		t.Error(entries, err)
	}
}

// shrinking cuts a file short as soon as something of it arrives.
type shrinking struct {
	path string
	size int64
}

func (s *shrinking) Write(p []byte) (int, error) { return len(p), os.Truncate(s.path, s.size) }

func TestAFileThatShrinksFailsTheExportAndOneThatGrowsIsCut(t *testing.T) {
	top := temp(t)
	root := opened(t, top)
	path := filepath.Join(top, "f")
	file(t, top, "f", strings.Repeat("x", 3*bufferSize))
	_, err := root.Export(context.Background(), "", &shrinking{path, 5})
	wantCode(t, err, FileChanged)
	file(t, top, "f", strings.Repeat("x", 3*bufferSize))
	var got bytes.Buffer
	result, err := root.Export(context.Background(), "", io.MultiWriter(&got, &shrinking{path, 9 * bufferSize}))
	must(t, err)
	if names(t, got.Bytes())[1] != "f" || result.Bytes != 3*bufferSize {
		t.Error(result)
	}
}

func TestExportAndPushEndWithTheirContextAndStream(t *testing.T) {
	top := temp(t)
	nasty(t, top)
	before := portrait(t, top)
	root := opened(t, top)
	stream, _ := exported(t, root, "")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := root.Export(ctx, "", io.Discard); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if _, err := root.Push(ctx, "", bytes.NewReader(stream.Bytes())); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	broken := errors.New("the line is cut")
	cut := io.MultiReader(io.LimitReader(stream, 100_000), errorReader{broken})
	if _, err := root.pushed("x", cut); !errors.Is(err, broken) {
		t.Error(err)
	}
	same(t, before, portrait(t, top))
}

type errorReader struct{ err error }

func (e errorReader) Read([]byte) (int, error) { return 0, e.err }

func TestTimesBeforeAndBeyondAreKept(t *testing.T) {
	from, to := temp(t), temp(t)
	for name, when := range map[string]syscall.Timespec{
		"old": {Sec: -5, Nsec: 999_999_999}, "odd": {Sec: 0, Nsec: 1}, "far": {Sec: 4_102_444_800, Nsec: 100_000_000},
	} {
		file(t, from, name, name)
		must(t, setTime(at.Cwd, filepath.Join(from, name), when))
	}
	must(t, os.Chtimes(from, time.Time{}, time.Unix(3, 4)))
	stream, _ := exported(t, opened(t, from), "")
	_, err := opened(t, to).pushed("", stream)
	must(t, err)
	same(t, portrait(t, from), portrait(t, to))
}
