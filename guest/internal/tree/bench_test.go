package tree

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const manyFiles = 5000

// many makes small files, 50 to a directory.
func many(b *testing.B) string {
	b.Helper()
	top := temp(b)
	for i := range manyFiles {
		file(b, top, fmt.Sprintf("d%d/e%d/file%d.txt", i/500, i/50%10, i), strings.Repeat("line of text\n", i%300))
	}
	return top
}

func perFile(b *testing.B) {
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/manyFiles, "µs/file")
}

func BenchmarkExport(b *testing.B) {
	root := opened(b, many(b))
	for b.Loop() {
		_, err := root.Export(context.Background(), "", io.Discard)
		must(b, err)
	}
	perFile(b)
}

func BenchmarkList(b *testing.B) {
	root := opened(b, many(b))
	for b.Loop() {
		must(b, root.List(context.Background(), "", true, func(Entry) error { return nil }))
	}
	perFile(b)
}

// benchmarkPush pushes into a tree that fill has made anew each time.
func benchmarkPush(b *testing.B, fill func(root *Root, stream []byte)) {
	stream, _ := exported(b, opened(b, many(b)), "")
	top := temp(b)
	for b.Loop() {
		b.StopTimer()
		must(b, os.RemoveAll(filepath.Join(top, "into")))
		root := brief(b, top)
		if fill != nil {
			fill(root, stream.Bytes())
		}
		b.StartTimer()
		_, err := root.pushed("into", bytes.NewReader(stream.Bytes()))
		must(b, err)
		b.StopTimer()
		root.Close()
		b.StartTimer()
	}
	perFile(b)
}

func BenchmarkPushNew(b *testing.B) { benchmarkPush(b, nil) }

func BenchmarkPushOver(b *testing.B) {
	benchmarkPush(b, func(root *Root, stream []byte) {
		_, err := root.pushed("into", bytes.NewReader(stream))
		must(b, err)
	})
}
