package score

import (
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// mostFiles bounds how many files are looked at; a folder with more is watched in part.
const mostFiles = 10_000

// watched are the folders whose files make a script what it is.
type watched struct {
	source string // its code and settings; empty for none
	model  string // a folder or a file; empty for none
}

// files says how files looked, by name.
type files map[string]stamp

type stamp struct {
	size    int64
	changed time.Time
}

// look gives the files as they are now. Of the source only code and settings
// count: scripts may write beside themselves.
func (w watched) look() files {
	out := files{}
	if w.source != "" {
		out.add(w.source, isSource)
	}
	if w.model != "" {
		out.add(w.model, func(string) bool { return true })
	}
	return out
}

func (f files) add(root string, counts func(string) bool) {
	_ = filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		switch {
		case len(f) >= mostFiles:
			return fs.SkipAll
		case err != nil:
			return nil //nolint:nilerr // what is gone meanwhile is not there
		case e.IsDir() && path != root && isAside(e.Name()):
			return fs.SkipDir
		case e.IsDir() || !counts(path):
			return nil
		}
		if info, err := e.Info(); err == nil {
			f[path] = stamp{size: info.Size(), changed: info.ModTime()}
		}
		return nil
	})
}

func isSource(path string) bool {
	return slices.Contains([]string{".py", ".json", ".yml", ".yaml", ".toml", ".ini", ".cfg"}, filepath.Ext(path))
}

// isAside tells folders that nobody edits a script in.
func isAside(name string) bool {
	return strings.HasPrefix(name, ".") || name == "__pycache__" || name == "node_modules" || name == "site-packages"
}

// differing names the files that differ, in order.
func differing(before, after files) []string {
	var out []string
	for name, s := range after {
		if old, known := before[name]; !known || old != s {
			out = append(out, name)
		}
	}
	for name := range before {
		if _, still := after[name]; !still {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}
