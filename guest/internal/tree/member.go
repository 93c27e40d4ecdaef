package tree

import (
	"archive/tar"
	"bufio"
	"errors"
	"io"
	"strings"
)

// member is an entry of an archive whose names have been checked.
type member struct {
	*tar.Header
	path   string // "" for the directory that is unpacked into
	target string // of a hard link, as path
}

// archive reads members. It tells errors of the archive from those of the stream that it comes from.
type archive struct {
	tar    *tar.Reader
	stream *stream // where the bytes come from
	blocks *stream // what tar reads
	top    bool    // members lie at the top of the root, where names are reserved
	prefix string  // stands before the names of members in paths
}

// stream remembers how it ended.
type stream struct {
	io.Reader
	err error
}

func (s *stream) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	if err != nil {
		s.err = err
	}
	return n, err
}

// drainLimit bounds what may come behind the end of an archive: tar fills up to a record of any size it was told.
const drainLimit = 16 << 20

func newArchive(in io.Reader, top bool, prefix string) *archive {
	s := &stream{Reader: in}
	blocks := &stream{Reader: bufio.NewReaderSize(s, bufferSize)}
	return &archive{tar: tar.NewReader(blocks), stream: s, blocks: blocks, top: top, prefix: prefix}
}

// next returns a member, or io.EOF behind the last.
func (a *archive) next() (*member, error) {
	for {
		header, err := a.tar.Next()
		if err == io.EOF && a.blocks.err == nil {
			return nil, a.drain()
		}
		if err != nil && !errors.Is(err, tar.ErrInsecurePath) { // checked here in any case
			return nil, a.explain("", err)
		}
		if header.Typeflag == tar.TypeXGlobalHeader {
			continue
		}
		return a.check(header)
	}
}

// drain reads on to the end of the stream, so that its writer is not left hanging. It returns io.EOF if all is well.
func (a *archive) drain() error {
	n, err := io.Copy(io.Discard, io.LimitReader(a.blocks, drainLimit))
	if err == nil && n == drainLimit {
		return badArchive("", "there is too much behind its end")
	}
	if err != nil {
		return a.explain("", err)
	}
	return io.EOF
}

// explain passes on what went wrong with the stream, and blames the archive for the rest.
func (a *archive) explain(name string, err error) error {
	switch {
	case a.stream.err != nil && a.stream.err != io.EOF:
		return a.stream.err
	case err == io.EOF, errors.Is(err, io.ErrUnexpectedEOF):
		return badArchive(name, "it is cut off")
	}
	return badArchive(name, "%s", strings.TrimPrefix(err.Error(), "archive/tar: "))
}

func (a *archive) check(header *tar.Header) (*member, error) {
	m := &member{Header: header}
	var err error
	if m.path, err = a.memberPath(header.Name, header.Name); err != nil {
		return nil, err
	}
	switch header.Typeflag {
	case tar.TypeReg, tar.TypeDir, tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
	case tar.TypeSymlink:
		if header.Linkname == "" || len(header.Linkname) >= maxPath {
			return nil, badArchive(header.Name, "a symbolic link cannot lead to %d bytes", len(header.Linkname))
		}
	case tar.TypeLink:
		if m.target, err = a.memberPath(header.Name, header.Linkname); err != nil {
			return nil, err
		}
		if m.target == "" || m.target == m.path {
			return nil, badArchive(header.Name, "it is linked to itself")
		}
	default: // sparse files too: a few bytes of them may stand for more than any disk holds
		return nil, badArchive(header.Name, "members of type %q are not supported", header.Typeflag)
	}
	for key := range header.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return nil, badArchive(header.Name, "sparse members are not supported")
		}
	}
	if m.path == "" && header.Typeflag != tar.TypeDir {
		return nil, badArchive(header.Name, "what is unpacked into is a directory")
	}
	return m, nil
}

// memberPath checks a name of a member and writes it without "." and empty components.
func (a *archive) memberPath(member, name string) (string, error) {
	if name == "" {
		return "", badArchive(member, "a name is empty")
	}
	if strings.HasPrefix(name, "/") {
		return "", badArchive(member, "%q is absolute", name)
	}
	if strings.IndexByte(name, 0) >= 0 {
		return "", badArchive(member, "a name holds a NUL byte")
	}
	names := split(name)
	if len(names) > maxDepth {
		return "", badArchive(member, "it lies more than %d directories deep", maxDepth)
	}
	for i, component := range names {
		switch {
		case component == "..":
			return "", badArchive(member, "%q leads out of the archive", name)
		case len(component) > maxName:
			return "", badArchive(member, "a name is longer than %d bytes", maxName)
		case i == 0 && a.top && strings.HasPrefix(component, StagingPrefix):
			return "", badArchive(member, "names beginning with %s are reserved", StagingPrefix)
		}
	}
	path := strings.Join(names, "/")
	if len(a.prefix)+len(path) >= maxPath {
		return "", badArchive(member, "its path is not shorter than %d bytes", maxPath)
	}
	return path, nil
}
