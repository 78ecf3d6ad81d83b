package apply

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/fairlead/fairlead/cmd/internal/manifest"
	"github.com/fairlead/fairlead/cmd/internal/upload"
)

// gather finds and hashes the files of a version, and gives the script's path
// among them. Paths start from the folder of the file that describes it.
func gather(ctx context.Context, v manifest.Version) (upload.Source, string, error) {
	start := "."
	if v.Place.File != "-" {
		start = filepath.Dir(v.Place.File)
	}
	script := v.Version.GetEntryScript()
	if script == "" && v.Source == "" {
		return upload.Source{}, "", nil
	}
	if script != "" && (filepath.IsAbs(script) || !filepath.IsLocal(filepath.FromSlash(script))) {
		return upload.Source{}, "", badSource("entryScript", "%q must be a path inside the source folder, without \"..\"", script)
	}
	if err := there(start, v.Source, script); err != nil {
		return upload.Source{}, "", err
	}
	if script != "" { // else of a runtime that needs none
		script = filepath.ToSlash(filepath.Clean(filepath.FromSlash(script)))
	}
	found, err := source(start, v.Source, script)
	if err != nil {
		return upload.Source{}, "", err
	}
	found.Files = slices.DeleteFunc(found.Files, func(f upload.File) bool { return f.Path != script && same(f.Local, v.Place.File) })
	if err := upload.Hash(ctx, found.Files); err != nil {
		if ctx.Err() != nil {
			return upload.Source{}, "", err
		}
		return upload.Source{}, "", badSource(keyOf(v.Source), "cannot be read: %v", err)
	}
	return found, script, nil
}

// sourceError is something wrong with what a key says of files.
type sourceError struct{ key, text string }

func (e *sourceError) Error() string { return e.key + " " + e.text }

func badSource(key, format string, args ...any) error {
	return &sourceError{key: key, text: fmt.Sprintf(format, args...)}
}

// keyOf gives the key that leads to the files.
func keyOf(folder string) string {
	if folder == "" {
		return "entryScript"
	}
	return "source"
}

// there says what is not there: the folder, or the script in it.
func there(start, folder, script string) error {
	at := start
	if folder != "" {
		at = inside(start, folder)
		switch info, err := os.Stat(at); {
		case errors.Is(err, fs.ErrNotExist):
			return badSource("source", "there is no folder %s", at)
		case err != nil:
			return badSource("source", "cannot be read: %v", err)
		case !info.IsDir():
			return badSource("source", "%s is not a folder", at)
		}
	}
	if script == "" {
		return nil
	}
	if !strings.HasSuffix(script, ".py") {
		return badSource("entryScript", "must end in .py, %q does not", script)
	}
	path := filepath.Join(at, filepath.FromSlash(script))
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		return badSource("entryScript", "there is no script %s", path)
	}
	return nil
}

// inside gives a folder as it is seen from start.
func inside(start, folder string) string {
	if filepath.IsAbs(folder) {
		return folder
	}
	return filepath.Join(start, filepath.FromSlash(folder))
}

func source(start, folder, script string) (upload.Source, error) {
	if folder == "" {
		return upload.Source{Files: []upload.File{{Path: script, Local: filepath.Join(start, filepath.FromSlash(script))}}}, nil
	}
	folder = inside(start, folder)
	found, err := upload.ScanSource(folder, script)
	if err != nil {
		return upload.Source{}, badSource("source", "%s %v", folder, err)
	}
	return found, nil
}

// same tells whether two paths are of one file. The file that describes a version
// is none of its files: else a change of its traffic would replace its replicas.
func same(a, b string) bool {
	first, err := os.Stat(a)
	if err != nil {
		return false
	}
	second, err := os.Stat(b)
	return err == nil && os.SameFile(first, second)
}
