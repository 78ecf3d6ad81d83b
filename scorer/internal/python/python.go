// Package python holds the Python side of the scorer: the worker program and the stand-ins for the packages that
// entry scripts import. It is embedded in the binary and unpacked into a private folder at start.
package python

import (
	"embed"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
)

// Worker is the worker program's path below the folder given to Unpack.
const Worker = "worker.py"

// ScikitLearn is the path of the entry script for scikit-learn models that come without one.
const ScikitLearn = "builtin/scikit_learn.py"

//go:embed all:files
var files embed.FS

// Unpack writes the worker program and its modules below dir, which it creates when missing.
func Unpack(dir string) error {
	err := fs.WalkDir(files, "files", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		target := filepath.Join(dir, filepath.FromSlash(name[len("files"):]))
		if entry.IsDir() {
			return os.MkdirAll(target, 0o700)
		}
		if path.Ext(name) != ".py" {
			return nil
		}
		text, err := files.ReadFile(name)
		if err != nil {
			return err
		}
		return os.WriteFile(target, text, 0o600)
	})
	if err != nil {
		return fmt.Errorf("unpack the worker program into %s: %w", dir, err)
	}
	return nil
}
