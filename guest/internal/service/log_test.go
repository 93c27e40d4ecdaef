package service

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// newLog is a log in parts of so many bytes.
func newLog(t *testing.T, size int64) *log {
	l := &log{directory: t.TempDir(), name: "stdout", partSize: size}
	t.Cleanup(l.close)
	return l
}

// pattern is what stands at an offset of a log of this test: no two pieces of a log are the same.
func pattern(offset, n int) []byte {
	var text []byte
	for i := offset / 8; len(text) < n+8; i++ {
		text = fmt.Appendf(text, "%07d\n", i)
	}
	return text[offset%8:][:n]
}

// gap stands where a view tells that what comes next does not follow what came before.
const gap = "|"

// seen adds a piece of a view to what was seen of it.
func seen(text *bytes.Buffer, data []byte) {
	if len(data) == 0 {
		text.WriteString(gap)
	}
	text.Write(data)
}

// shown returns what a view shows.
func shown(t *testing.T, l *log, view View) (string, bool) {
	t.Helper()
	var text bytes.Buffer
	cut, err := l.show(context.Background(), view, func(data []byte) error {
		seen(&text, data)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return text.String(), cut
}

var everything = View{MaxBytes: 1 << 30}

// TestALogKeepsAtLeastOnePartAndAtMostTwo looks at it after every write.
func TestALogKeepsAtLeastOnePartAndAtMostTwo(t *testing.T) {
	const size = 1000
	l, random, end := newLog(t, size), rand.New(rand.NewPCG(1, 2)), 0
	for end < 20*size {
		n := 1 + random.IntN(700)
		if random.IntN(4) == 0 { // exactly to the end of a part
			n = size - end%size
		}
		l.write(pattern(end, n))
		end += n
		text, _ := l.kept(t)
		if first := end - len(text); len(text) < min(end, size) || len(text) > 2*size || text != string(pattern(first, len(text))) {
			t.Fatalf("of %d bytes %d are kept, or others", end, len(text))
		}
		files, err := os.ReadDir(l.directory)
		if err != nil || len(files) > 2 {
			t.Fatal(files, err)
		}
		for _, file := range files {
			if info, err := file.Info(); err != nil || info.Size() > size || info.Mode() != 0o600 {
				t.Fatal(info, err)
			}
		}
	}
}

// kept returns all that is in the log, not beginning at a line.
func (l *log) kept(t *testing.T) (string, int64) {
	t.Helper()
	first, end := l.bounds()
	text, start, err := l.between(make([]byte, end-first), first, end)
	if err != nil || start != first {
		t.Fatal(start, err)
	}
	return string(text), first
}

func TestTails(t *testing.T) {
	const size = 16
	for _, c := range []struct {
		name, text string
		lines      int
		most       int64
		want       string
		cut        bool
	}{
		{"nothing", "", 0, 100, "", false},
		{"all", "a\nb\n", 0, 100, "a\nb\n", false},
		{"more lines than there are", "a\nb\n", 3, 100, "a\nb\n", false},
		{"as many lines as there are", "a\nb\n", 2, 100, "a\nb\n", false},
		{"one line", "a\nb\n", 1, 100, gap + "b\n", true},
		{"one line that is not complete", "a\nb", 1, 100, gap + "b", true},
		{"empty lines", "\n\n\n", 2, 100, gap + "\n\n", true},
		{"bytes that end at a line", "ab\ncd\n", 0, 3, gap + "cd\n", true},
		{"bytes that end at a line before others", "ab\ncd\nef\n", 0, 6, gap + "cd\nef\n", true},
		{"bytes that end in a line", "ab\ncd\nef\n", 0, 5, gap + "ef\n", true},
		{"bytes that end at a line's end", "ab\ncd\n", 0, 4, gap + "cd\n", true},
		{"bytes and lines", "ab\ncd\nef\n", 2, 4, gap + "ef\n", true},
		{"part of one line", "abcdef", 0, 3, gap + "def", true},
		{"part of one line that is complete", "abcdef\n", 0, 3, gap + "ef\n", true},
		{"exactly all", "ab\n", 0, 3, "ab\n", false},
		{"over the end of a part", "aaaaaaa\nbbbbbbb\nccccccc\n", 2, 100, gap + "bbbbbbb\nccccccc\n", true},
		{"what was forgotten", "aaaaaaa\nbbbbbbb\nccccccc\nddddddd\neeeeeee\n", 0, 100, gap + "ddddddd\neeeeeee\n", true},
		{"forgotten in a line", "aaaaaaaaaa\nbbbbbbbbbb\ncccccccccc\nd\n", 0, 100, gap + "cccccccccc\nd\n", true},
		{"forgotten, no line", strings.Repeat("x", 40), 0, 100, gap + strings.Repeat("x", 24), true},
	} {
		for _, follow := range []bool{false, true} {
			l := newLog(t, size)
			l.write([]byte(c.text))
			l.close()
			text, cut := shown(t, l, View{TailLines: c.lines, MaxBytes: c.most, Follow: follow})
			if text != c.want || cut != c.cut {
				t.Errorf("%s: %q, %v", c.name, text, cut)
			}
		}
	}
}

// TestALongTailIsFound needs several blocks to be looked through.
func TestALongTailIsFound(t *testing.T) {
	l := newLog(t, partSize)
	l.write(pattern(0, 3*blockSize+80))
	for _, lines := range []int{1, 8191, 8192, 8193, 20000} {
		text, cut := shown(t, l, View{TailLines: lines, MaxBytes: partSize})
		if strings.Count(text, "\n") != lines || !strings.HasPrefix(text, fmt.Sprintf(gap+"%07d\n", 3*blockSize/8+10-lines)) || !cut {
			t.Errorf("%d: %d, %v", lines, strings.Count(text, "\n"), cut)
		}
	}
}

// TestFollowersMissNothingWhereverTheFilesEnd has several that begin at different times. The writer does not get further
// ahead of them than what is kept.
func TestFollowersMissNothingWhereverTheFilesEnd(t *testing.T) {
	const size, total, followers = 5000, 200_000, 4
	l, random := newLog(t, size), rand.New(rand.NewPCG(3, 4))
	var following sync.WaitGroup
	var progress []chan int
	for end := 0; end < total; {
		if len(progress) < followers && end >= len(progress)*size/followers {
			passed := make(chan int, total) // as many as there can be pieces
			progress = append(progress, passed)
			following.Go(func() { followWhole(t, l, passed) })
		}
		most := size
		if len(progress) < followers { // nothing must be forgotten before all have begun
			most = size / followers
		}
		n := min(1+random.IntN(most), total-end)
		l.write(pattern(end, n))
		end += n
		for _, passed := range progress {
			for at, ok := 0, true; at < end; {
				if at, ok = <-passed; !ok {
					t.Fatal("a follower has left")
				}
			}
		}
	}
	l.close()
	following.Wait()
}

// followWhole follows a log of which nothing must be missing, and tells how far it has come.
func followWhole(t *testing.T, l *log, passed chan<- int) {
	defer close(passed)
	var text []byte
	cut, err := l.show(context.Background(), View{MaxBytes: 1 << 30, Follow: true}, func(data []byte) error {
		text = append(text, data...)
		passed <- len(text)
		return nil
	})
	_, end := l.bounds()
	if cut || err != nil || !bytes.Equal(text, pattern(0, int(end))) {
		t.Errorf("%d bytes of %d, %v, %v", len(text), end, cut, err)
	}
}

// TestASlowFollowerGoesOnAtTheOldestByteThatIsKept has it wait with its first piece until much more was written than is
// kept: the writer does not wait for it.
func TestASlowFollowerGoesOnAtTheOldestByteThatIsKept(t *testing.T) {
	const size, total = 80_000, 400_000
	l := newLog(t, size)
	l.write(pattern(0, 800))
	got, goOn := make(chan struct{}), make(chan struct{})
	var once sync.Once
	var text bytes.Buffer
	followed := make(chan bool)
	go func() {
		cut, err := l.show(context.Background(), View{MaxBytes: 1 << 30, Follow: true}, func(data []byte) error {
			seen(&text, data)
			once.Do(func() {
				close(got)
				<-goOn
			})
			return nil
		})
		followed <- cut && err == nil
	}()
	<-got
	for end := 800; end < total; end += 8 {
		l.write(pattern(end, 8))
	}
	l.close()
	first, _ := l.bounds()
	close(goOn)
	if !<-followed {
		t.Error("nothing was missing")
	}
	if want := string(pattern(0, 800)) + gap + string(pattern(int(first), total-int(first))); text.String() != want {
		t.Errorf("%d bytes instead of %d", text.Len(), len(want))
	}
}

func TestAFollowerWaitsAndLeaves(t *testing.T) {
	l := newLog(t, 1000)
	l.write([]byte("a\n"))
	ctx, cancel := context.WithCancel(context.Background())
	pieces, followed := make(chan string), make(chan error)
	go func() {
		_, err := l.show(ctx, View{MaxBytes: 100, Follow: true}, func(data []byte) error {
			pieces <- string(data)
			return nil
		})
		followed <- err
	}()
	for i, want := range []string{"a\n", "b", "c\n"} {
		if i > 0 {
			l.write([]byte(want))
		}
		if got := <-pieces; got != want {
			t.Errorf("%q", got)
		}
	}
	cancel()
	if err := <-followed; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if _, err := l.show(context.Background(), View{MaxBytes: 100, Follow: true}, func([]byte) error { return syscall.EPIPE }); err != syscall.EPIPE {
		t.Error(err)
	}
}

func TestALogOfAnEarlierTimeIsTakenUp(t *testing.T) {
	l := newLog(t, 1000)
	l.write(pattern(0, 2960))
	l.close()
	for _, other := range []string{"stderr.0", "stdout.x", "stdout", "stdout.-5"} {
		if err := os.WriteFile(filepath.Join(l.directory, other), []byte("other"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	old, err := openLog(l.directory, "stdout")
	if err != nil {
		t.Fatal(err)
	}
	if text, cut := shown(t, old, View{MaxBytes: 1 << 30, Follow: true}); text != gap+string(pattern(1008, 1952)) || !cut {
		t.Errorf("%d bytes, %v", len(text), cut)
	}
	// A machine that crashed has not written everything to its disk.
	if err := os.Truncate(filepath.Join(l.directory, "stdout.1000"), 400); err != nil {
		t.Fatal(err)
	}
	if old, err = openLog(l.directory, "stdout"); err != nil {
		t.Fatal(err)
	}
	if text, cut := shown(t, old, everything); text != gap+string(pattern(2008, 952)) || !cut {
		t.Errorf("%d bytes, %v", len(text), cut)
	}
}

func TestWhatFilesHaveLostIsLeftOut(t *testing.T) {
	l := newLog(t, 1000)
	l.write(pattern(0, 1960))
	if err := os.Truncate(filepath.Join(l.directory, "stdout.0"), 80); err != nil {
		t.Fatal(err)
	}
	if text, cut := shown(t, l, everything); text != gap+string(pattern(1008, 952)) || !cut {
		t.Errorf("%q, %v", text, cut)
	}
	os.RemoveAll(l.directory)
	if text, cut := shown(t, l, View{MaxBytes: 100, Follow: true}); text != "" || !cut {
		t.Errorf("%q, %v", text, cut)
	}
}

func TestNothingIsFollowedOutOfTheDirectory(t *testing.T) {
	l := newLog(t, 1000)
	elsewhere := filepath.Join(t.TempDir(), "elsewhere")
	if err := os.Symlink(elsewhere, filepath.Join(l.directory, "stdout.0")); err != nil {
		t.Fatal(err)
	}
	l.write([]byte("secret"))
	if _, err := os.Lstat(elsewhere); err == nil || !l.incomplete() {
		t.Error("the link was followed")
	}
}

// TestAFullDiskCostsBytesAndNothingElse needs to mount, which root may mostly do.
func TestAFullDiskCostsBytesAndNothingElse(t *testing.T) {
	l := newLog(t, 1<<20)
	if err := syscall.Mount("tmpfs", l.directory, "tmpfs", 0, "size=64k"); err != nil {
		t.Skip("mounting is refused here: ", err)
	}
	t.Cleanup(func() { syscall.Unmount(l.directory, syscall.MNT_DETACH) })
	for offset := 0; offset < 200_000; offset += 8000 {
		l.write(pattern(offset, 8000))
	}
	if text, cut := shown(t, l, everything); text != string(pattern(0, 65536)) || !cut {
		t.Errorf("%d bytes, %v", len(text), cut)
	}
	l.close()
}
