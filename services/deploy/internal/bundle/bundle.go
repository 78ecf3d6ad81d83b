// Package bundle holds the rules of sets of files that are named by path and
// content. It is pure.
package bundle

import (
	"slices"
	"strings"

	"github.com/fairlead/fairlead/platform/apierr"
)

// File is one file by content.
type File struct {
	Path   string `json:"path"`
	SHA256 string `json:"sha256"`
	Size   int64  `json:"size"`
}

// Check checks that the paths are unique, relative and clean and that none is a
// folder of another. Violations are of the given field.
func Check(field string, files []File, v *apierr.Violations) {
	seen := make(map[string]bool, len(files))
	for _, f := range files {
		if !clean(f.Path) {
			v.Add(field, "has the path %q; paths must be relative, with slashes, without empty, \".\" or \"..\" parts", f.Path)
		}
		if seen[f.Path] {
			v.Add(field, "has %q more than once", f.Path)
		}
		seen[f.Path] = true
	}
	for _, f := range files {
		for i, c := range f.Path {
			if c == '/' && seen[f.Path[:i]] {
				v.Add(field, "has %q as a file and as the folder of %q", f.Path[:i], f.Path)
			}
		}
	}
}

// Find gives the file at a path.
func Find(files []File, path string) (File, bool) {
	i := slices.IndexFunc(files, func(f File) bool { return f.Path == path })
	if i < 0 {
		return File{}, false
	}
	return files[i], true
}

func clean(path string) bool {
	if strings.ContainsAny(path, "\\\x00") {
		return false
	}
	return !slices.ContainsFunc(strings.Split(path, "/"), func(part string) bool { return part == "" || part == "." || part == ".." })
}
