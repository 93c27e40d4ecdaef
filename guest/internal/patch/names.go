package patch

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
)

var (
	errQuote = errors.New("the quotes of this name do not fit together")
	errEmpty = errors.New("the name of the file is empty")
)

// cutName takes a name from the start of a text: in double quotes with escapes as in C, or else up to a tab. What
// follows may be a date.
func cutName(text string) (name, rest string, err error) {
	if !strings.HasPrefix(text, `"`) {
		name, rest, _ = strings.Cut(text, "\t")
	} else if name, rest, err = unquote(text); err != nil {
		return "", "", err
	}
	if name == "" {
		return "", "", errEmpty
	}
	return name, rest, nil
}

// unquote takes a quoted name from the start of a text.
func unquote(text string) (name, rest string, err error) {
	var result strings.Builder
	for at := 1; at < len(text); at++ {
		switch text[at] {
		case '"':
			return result.String(), text[at+1:], nil
		case '\\':
			b, length := unescape(text[at+1:])
			if length == 0 {
				return "", "", errQuote
			}
			result.WriteByte(b)
			at += length
		default:
			result.WriteByte(text[at])
		}
	}
	return "", "", errQuote
}

// unescape reads what follows a backslash: how many bytes it took, 0 if it is nothing known.
func unescape(text string) (b byte, length int) {
	if text == "" {
		return 0, 0
	}
	if at := strings.IndexByte(`abtnvfr"\`, text[0]); at >= 0 {
		return "\a\b\t\n\v\f\r\"\\"[at], 1
	}
	if len(text) < 3 || text[0] > '3' {
		return 0, 0
	}
	for _, digit := range []byte(text[:3]) {
		if digit < '0' || digit > '7' {
			return 0, 0
		}
		b = b<<3 | (digit - '0')
	}
	return b, 3
}

// pair is the names of both sides of a section; "" where there is none.
type pair struct {
	old, new string
	stripped bool // they had the prefixes a/ and b/
}

// cutPair takes both names from the line "diff --git". They are found only if they are quoted, or the same: else the
// blank between them cannot be told from one in a name. Then other lines say them.
func cutPair(text string) pair {
	if middle := len(text) / 2; len(text)%2 == 1 && text[middle] == ' ' {
		if names := strip(text[:middle], text[middle+1:]); names.old == names.new && text[0] != '"' {
			return names
		}
	}
	var old, new string
	if strings.HasPrefix(text, `"`) {
		var err error
		if old, new, err = unquote(text); err != nil || !strings.HasPrefix(new, " ") {
			return pair{}
		}
		new = new[1:]
	} else {
		old, new, _ = strings.Cut(text, ` "`)
		new = `"` + new
	}
	if strings.HasPrefix(new, `"`) {
		var err error
		if new, _, err = unquote(new); err != nil {
			return pair{}
		}
	}
	return strip(old, new)
}

// strip takes the prefixes a/ and b/ off, if there are both.
func strip(old, new string) pair {
	a, hasA := strings.CutPrefix(old, "a/")
	b, hasB := strings.CutPrefix(new, "b/")
	if hasA && hasB {
		return pair{a, b, true}
	}
	return pair{old, new, false}
}

// stripped returns the names of two labels. Where one is /dev/null, the prefix of the other decides.
func stripped(old, new label) pair {
	switch {
	case old.isNull:
		return strip("a/", new.name)
	case new.isNull:
		return strip(old.name, "b/")
	}
	return strip(old.name, new.name)
}

// strippedLike does so where another line has already shown whether there are prefixes: that decides.
func strippedLike(known pair, old, new label) pair {
	if known.old != "" && !known.stripped {
		return pair{old: old.name, new: new.name}
	}
	names := stripped(old, new)
	if old.isNull {
		names.old = ""
	}
	if new.isNull {
		names.new = ""
	}
	return names
}

// cleanPath refuses paths that lead out of the tree or to what is none of a patch's business.
func cleanPath(name string) (string, error) {
	names := strings.Split(name, "/")
	clean := path.Clean(name)
	switch {
	case name == "" || clean == ".":
		return "", errEmpty
	case strings.IndexByte(name, 0) >= 0:
		return "", fmt.Errorf("the path %.200q holds a NUL", name)
	case path.IsAbs(name):
		return "", fmt.Errorf("the path %.200q is absolute", name)
	case slices.Contains(names, ".."):
		return "", fmt.Errorf(`the path %.200q holds ".."`, name)
	case names[len(names)-1] == "" || names[len(names)-1] == ".":
		return "", fmt.Errorf("the path %.200q is one of a directory", name)
	case strings.HasPrefix(clean, StagingPrefix):
		return "", fmt.Errorf("the path %.200q is reserved", name)
	}
	return clean, nil
}
