package tree

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// raw is a header as no tar writer would make it, with a right checksum.
func raw(name string, kind byte, size int64, change func(block []byte)) []byte {
	block := make([]byte, 512)
	copy(block, name)
	copy(block[100:], "0000644\x00")
	copy(block[108:], "0000000\x00")
	copy(block[116:], "0000000\x00")
	copy(block[124:], fmt.Sprintf("%011o\x00", size))
	copy(block[136:], "00000000000\x00")
	copy(block[148:], "        ")
	block[156] = kind
	copy(block[257:], "ustar\x0000")
	if change != nil {
		change(block)
	}
	sum := 0
	for _, b := range block {
		sum += int(b)
	}
	copy(block[148:], fmt.Sprintf("%06o\x00 ", sum))
	return block
}

// extended is a PAX header before a file.
func extended(records ...string) []byte {
	var text string
	for _, record := range records {
		size := len(record) + 3
		for len(fmt.Sprint(size))+len(record)+2 != size {
			size++
		}
		text += fmt.Sprintf("%d %s\n", size, record)
	}
	padded := make([]byte, (len(text)+511)/512*512)
	copy(padded, text)
	return append(raw("x", 'x', int64(len(text)), nil), padded...)
}

// Three ways of saying that a file of 9 TB is all holes.
var (
	sparse0   = []string{"GNU.sparse.major=0", "GNU.sparse.minor=1", "GNU.sparse.size=9000000000000", "GNU.sparse.numblocks=0", "GNU.sparse.map="}
	sparse1   = []string{"GNU.sparse.major=1", "GNU.sparse.minor=0", "GNU.sparse.realsize=9000000000000", "GNU.sparse.name=../x"}
	noRegions = append([]byte("0\n"), make([]byte, 510)...)
)

func oldSparse(block []byte) {
	copy(block[257:], "ustar  \x00")
	copy(block[483:], "00000000000\x00")
}

var end = make([]byte, 1024)

func joined(parts ...[]byte) io.Reader { return bytes.NewReader(bytes.Join(parts, nil)) }

// hostileArchives are all refused, and leave nothing.
func hostileArchives(t *testing.T) map[string]io.Reader {
	one := func(name string, kind byte, text string) io.Reader {
		return archived(t, entry{name: "fine"}, entry{name: name, kind: kind, text: text})
	}
	two := func(entries ...entry) io.Reader { return archived(t, entries...) }
	plain := archived(t, entry{name: "f", text: strings.Repeat("x", 5000)}).Bytes()
	flipped := bytes.Clone(plain)
	flipped[3] ^= 1
	link := func(name, target string) entry { return entry{name: name, kind: tar.TypeSymlink, text: target} }
	hard := func(name, target string) entry { return entry{name: name, kind: tar.TypeLink, text: target} }
	return map[string]io.Reader{
		"dots":                      one("../x", 0, ""),
		"dots within":               one("a/../../x", 0, ""),
		"dots that stay":            one("a/../x", 0, ""),
		"dots alone":                one("..", tar.TypeDir, ""),
		"dots at the end":           one("a/..", tar.TypeDir, ""),
		"dots behind a dot":         one("./../x", 0, ""),
		"absolute":                  one("/etc/x", 0, ""),
		"absolute twice":            one("//x", 0, ""),
		"absolute directory":        one("/", tar.TypeDir, ""),
		"absolute workspace":        one("/workspace/x", 0, ""),
		"hard link out":             one("h", tar.TypeLink, "../secret"),
		"hard link to absolute":     one("h", tar.TypeLink, "/etc/passwd"),
		"hard link to nothing":      one("h", tar.TypeLink, "missing"),
		"hard link to itself":       one("h", tar.TypeLink, "./h"),
		"hard link to empty":        joined(raw("h", '1', 0, nil), end),
		"hard link to the top":      one("h", tar.TypeLink, "."),
		"hard link forward":         two(hard("h", "f"), entry{name: "f"}),
		"hard link to what is here": one("h", tar.TypeLink, "present"),
		"hard link to a directory":  two(entry{name: "d", kind: tar.TypeDir}, hard("h", "d")),
		"hard link through a link":  two(link("l", "."), entry{name: "f"}, hard("h", "l/f")),
		"hard link through out":     two(link("l", ".."), hard("h", "l/secret")),
		"hard link over directory":  two(entry{name: "f"}, entry{name: "d", kind: tar.TypeDir}, hard("d", "f")),
		"file through link":         two(link("l", ".."), entry{name: "l/x"}),
		"file through link inside":  two(entry{name: "d", kind: tar.TypeDir}, link("l", "d"), entry{name: "l/x"}),
		"file through absolute":     two(link("l", "/tmp"), entry{name: "l/x"}),
		"file through link to link": two(link("a", "b"), link("b", ".."), entry{name: "a/x"}),
		"directory through link":    two(link("l", ".."), entry{name: "l/x", kind: tar.TypeDir}),
		"link through link":         two(link("l", ".."), link("l/x", "y")),
		"directory over link":       two(link("l", ".."), entry{name: "l", kind: tar.TypeDir}, entry{name: "l/x"}),
		"directory over file":       two(entry{name: "f"}, entry{name: "f", kind: tar.TypeDir}),
		"file over directory":       two(entry{name: "d/x"}, entry{name: "d"}),
		"link over directory":       two(entry{name: "d/x"}, link("d", "x")),
		"file below file":           two(entry{name: "f"}, entry{name: "f/x"}),
		"empty link":                joined(raw("l", '2', 0, nil), end),
		"long link":                 two(link("l", strings.Repeat("x", maxPath))),
		"long name":                 one(strings.Repeat("n", 256), 0, ""),
		"long path":                 one(strings.Repeat(strings.Repeat("y", 250)+"/", 17)+"x", 0, ""),
		"deep path":                 one(strings.Repeat("d/", 256)+"x", 0, ""),
		"empty name":                joined(raw("", '0', 0, nil), end),
		"empty path record":         joined(extended("path="), raw("", '0', 0, nil), end),
		"nul in a name":             joined(extended("path=a\x00b"), raw("f", '0', 0, nil), end),
		"reserved name":             one(StagingPrefix+"x", 0, ""),
		"reserved name below":       one("./"+StagingPrefix+"x/y", 0, ""),
		"the top as a file":         one(".", 0, ""),
		"the top as a link":         one("./", tar.TypeSymlink, "/etc"),
		"the top as a hard link":    two(entry{name: "f"}, hard(".", "f")),
		"unknown type":              joined(raw("f", '7', 0, nil), end),
		"vendor type":               joined(raw("f", 'V', 0, nil), end),
		"old sparse":                joined(raw("f", 'S', 0, oldSparse), end),
		"sparse 0.1":                joined(extended(sparse0...), raw("f", '0', 0, nil), end),
		"sparse 1.0":                joined(extended(sparse1...), raw("f", '0', 512, nil), noRegions, end),
		"negative size":             joined(extended("size=-1"), raw("f", '0', 0, nil), end),
		"huge size":                 joined(extended("size=9223372036854775807"), raw("f", '0', 0, nil), end),
		"size beyond the end":       joined(raw("f", '0', 1000, nil), make([]byte, 512)),
		"huge extended header":      joined(raw("x", 'x', 1<<40, nil), end),
		"huge long name":            joined(raw("x", 'L', 1<<33, nil), end),
		"broken extended header":    joined(raw("x", 'x', 512, nil), bytes.Repeat([]byte("z"), 512), raw("f", '0', 0, nil), end),
		"broken time":               joined(extended("mtime=soon"), raw("f", '0', 0, nil), end),
		"wrong checksum":            bytes.NewReader(flipped),
		"no archive":                strings.NewReader(strings.Repeat("not a tar ", 200)),
		"nothing":                   strings.NewReader(""),
		"cut in a header":           bytes.NewReader(plain[:300]),
		"cut in a file":             bytes.NewReader(plain[:3000]),
		"cut in padding":            bytes.NewReader(plain[:len(plain)-1024-100]),
		"cut before the end mark":   bytes.NewReader(plain[:len(plain)-1024]),
		"half an end mark":          bytes.NewReader(plain[:len(plain)-512]),
		"endless":                   io.MultiReader(bytes.NewReader(plain), zeroReader{}),
	}
}

type zeroReader struct{}

func (zeroReader) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestHostileArchivesAreRefusedAndLeaveNothing(t *testing.T) {
	outside := temp(t)
	file(t, outside, "secret", "secret")
	top := filepath.Join(outside, "top")
	file(t, top, "present", "as it was")
	file(t, top, "d/inner", "as it was")
	must(t, os.Symlink("..", filepath.Join(top, "l")))
	age(t, outside)
	before := portrait(t, outside)
	root := opened(t, top)
	table := hostileArchives(t)
	if len(table) < 40 {
		t.Error(len(table))
	}
	for name, in := range table {
		t.Run(name, func(t *testing.T) {
			_, err := root.pushed("", in)
			wantCode(t, err, BadArchive)
			same(t, before, portrait(t, outside))
		})
	}
}

func TestPushIsBoundedInEntries(t *testing.T) {
	top := temp(t)
	root := opened(t, top)
	root.limit = 20
	for name, in := range map[string]io.Reader{
		"members": archived(t, make21()...), "skipped": archived(t, skipped21()...),
		"implied": archived(t, entry{name: strings.Repeat("d/", 30) + "f"}),
	} {
		_, err := root.pushed("", in)
		if code(err) != TooManyEntries {
			t.Error(name, err)
		}
	}
}

func make21() (entries []entry) {
	for i := range 21 {
		entries = append(entries, entry{name: fmt.Sprint(i)})
	}
	return entries
}

func skipped21() (entries []entry) {
	for range 21 {
		entries = append(entries, entry{name: "same", kind: tar.TypeFifo})
	}
	return entries
}

// TestOrdinaryArchivesOfOthersAreTaken has what tar programs and version control make.
func TestOrdinaryArchivesOfOthersAreTaken(t *testing.T) {
	top := temp(t)
	root := opened(t, top)
	global := append(raw("pax_global_header", 'g', 52, nil), append([]byte("52 comment=0123456789012345678901234567890123456789\n"), make([]byte, 460)...)...)
	rest := archived(t,
		entry{name: "./", kind: tar.TypeDir, mode: 0o755}, entry{name: "./d/", kind: tar.TypeDir, mode: 0o2770},
		entry{name: ".//d//f", text: "one"}, entry{name: "implied/directory/f", text: "two"},
		entry{name: strings.Repeat("long/", 60) + "f", text: "three", format: tar.FormatGNU},
		entry{name: "d/f", text: "newer"}, entry{name: "h", kind: tar.TypeLink, text: "./d/f"},
		entry{name: "implied/", kind: tar.TypeDir, mode: 0o700}, entry{name: "l", kind: tar.TypeSymlink, text: "/x/../y"},
		entry{name: "l", kind: tar.TypeSymlink, text: "elsewhere"}, entry{name: "null", kind: tar.TypeChar},
		entry{name: "fifo", kind: tar.TypeFifo}, entry{name: "h2", kind: tar.TypeLink, text: "l"}, entry{name: "bits", text: "b", mode: 0o6755},
	).Bytes()
	result, err := root.pushed("", joined(global, rest, make([]byte, 8192)))
	must(t, err)
	got := portrait(t, top)
	for path, want := range map[string]string{"d": "42770 ", "d/f": "100644 ", "implied": "40700 ", "implied/directory": "40755 ", "bits": "106755 ", ".": "40755 "} {
		if !strings.HasPrefix(got[path], want) {
			t.Errorf("%s: %s", path, got[path])
		}
	}
	if !strings.HasSuffix(got["h"], `is "d/f" of 2`) || !strings.Contains(got["h2"], `-> "elsewhere" is "h2" of 2`) {
		t.Error(got["h"], got["h2"])
	}
	if content, _ := os.ReadFile(filepath.Join(top, "d/f")); string(content) != "newer" {
		t.Errorf("%q", content)
	}
	if result.Entries != len(got)-1 || result.SkippedCount != 2 || fmt.Sprint(result.Skipped) != "[null fifo]" {
		t.Error(result, len(got))
	}
}

// TestDamagedArchivesChangeNothingOrAll flips bytes of a good one.
func TestDamagedArchivesChangeNothingOrAll(t *testing.T) {
	outside, from := temp(t), temp(t)
	top := filepath.Join(outside, "top")
	file(t, from, "d/f", "content")
	file(t, from, "d/not utf-8 \xff", strings.Repeat("x", 2000))
	must(t, os.Symlink("/x", filepath.Join(from, "l")), os.Link(filepath.Join(from, "d/f"), filepath.Join(from, "z")))
	stream, _ := exported(t, opened(t, from), "")
	file(t, top, "d/f", "as it was")
	age(t, outside)
	random := rand.New(rand.NewSource(1))
	for range 400 {
		damaged := bytes.Clone(stream.Bytes())
		for range 1 + random.Intn(3) {
			damaged[random.Intn(len(damaged))] = byte(random.Intn(256))
		}
		before := portrait(t, outside)
		root := opened(t, top)
		if _, err := root.pushed("", bytes.NewReader(damaged)); err != nil {
			same(t, before, portrait(t, outside))
		}
		if found, err := os.ReadDir(outside); len(found) != 1 || err != nil {
			t.Fatal(found, err)
		}
	}
}

func TestNothingIsInheritedFromTheDirectoryAbove(t *testing.T) {
	top, from := temp(t), temp(t)
	file(t, from, "d/f", "content")
	stream, _ := exported(t, opened(t, from), "")
	must(t, os.Mkdir(filepath.Join(top, "x"), 0o755))
	for _, path := range []string{top, filepath.Join(top, "x")} {
		if err := syscall.Chown(path, -1, 4321); err != nil {
			t.Skip("not permitted to change groups")
		}
		must(t, syscall.Chmod(path, 0o2775))
		acl := []byte{2, 0, 0, 0} // version; then tag, bits, id: owner, user 1234, group, mask, others
		for _, line := range [][3]uint32{{1, 7, 1<<32 - 1}, {2, 7, 1234}, {4, 7, 1<<32 - 1}, {16, 7, 1<<32 - 1}, {32, 7, 1<<32 - 1}} {
			acl = binary.LittleEndian.AppendUint16(acl, uint16(line[0]))
			acl = binary.LittleEndian.AppendUint16(acl, uint16(line[1]))
			acl = binary.LittleEndian.AppendUint32(acl, line[2])
		}
		if err := syscall.Setxattr(path, "system.posix_acl_default", acl, 0); err != nil {
			t.Skip("there are no access lists here: ", err)
		}
	}
	root := opened(t, top)
	_, err := root.Push(context.Background(), "x/y/z", stream)
	must(t, err)
	_, err = root.Write("x/w/v", nil)
	must(t, err)
	for _, path := range []string{"x/y", "x/y/z", "x/y/z/d", "x/y/z/d/f", "x/w", "x/w/v"} {
		var stat syscall.Stat_t
		must(t, syscall.Stat(filepath.Join(top, path), &stat))
		if n, err := syscall.Listxattr(filepath.Join(top, path), make([]byte, 1000)); n != 0 || err != nil {
			t.Error(path, n, err)
		}
		if int(stat.Gid) != os.Getegid() || stat.Mode&syscall.S_ISGID != 0 {
			t.Errorf("%s: %o of group %d", path, stat.Mode, stat.Gid)
		}
	}
}

func TestModesDoNotDependOnTheUmask(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o077))
	from := temp(t)
	must(t, syscall.Chmod(from, 0o755))
	if isRoot {
		nasty(t, from)
	}
	stream, _ := exported(t, opened(t, from), "")
	to := temp(t)
	_, err := opened(t, to).pushed("made/on the way", stream)
	must(t, err)
	same(t, portrait(t, from), portrait(t, filepath.Join(to, "made/on the way")))
	if got := portrait(t, to)["made"]; !strings.HasPrefix(got, "40755 ") {
		t.Error(got)
	}
}
