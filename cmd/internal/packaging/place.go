package packaging

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/fairlead/fairlead/cmd/internal/upload"
)

// Check says why a context cannot be written to dir; nil when it can.
func Check(dir string, overwrite bool) error {
	if dir == "" {
		return errors.New("say where the context is to be written")
	}
	target, err := resolve(dir)
	if err != nil {
		return err
	}
	if current, err := os.Getwd(); err == nil && within(current, target) {
		return fmt.Errorf("%s is the current folder or holds it; name a folder of its own", dir)
	}
	entries, err := os.ReadDir(target)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		if info, statErr := os.Stat(target); statErr == nil && !info.IsDir() {
			return fmt.Errorf("%s is a file; name a folder", dir)
		}
		return err
	case len(entries) == 0:
		return nil
	case !slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.Name() == ManifestFile }):
		return fmt.Errorf("%s is not empty and was not written by \"model package\" (it has no %s); name another folder", dir, ManifestFile)
	case !overwrite:
		return fmt.Errorf("%s is not empty; replace it with --overwrite", dir)
	}
	return nil
}

// Outside gives the files that are not in dir: a context that lies in the source
// directory is no part of the next one.
func Outside(files []upload.File, dir string) ([]upload.File, error) {
	target, err := resolve(dir)
	if err != nil {
		return nil, err
	}
	var out []upload.File
	for _, f := range files {
		local, err := resolve(f.Local)
		if err != nil {
			return nil, err
		}
		if !within(local, target) {
			out = append(out, f)
		}
	}
	return out, nil
}

// resolve gives the path that a path leads to, also when its last part does not
// exist.
func resolve(name string) (string, error) {
	whole, err := filepath.Abs(name)
	if err != nil {
		return "", err
	}
	target, err := filepath.EvalSymlinks(whole)
	if !errors.Is(err, fs.ErrNotExist) {
		return target, err
	}
	parent := filepath.Dir(whole)
	if parent == whole {
		return whole, nil
	}
	if parent, err = resolve(parent); err != nil {
		return "", err
	}
	return filepath.Join(parent, filepath.Base(whole)), nil
}

func within(name, folder string) bool {
	relative, err := filepath.Rel(folder, name)
	return err == nil && relative != ".." && !strings.HasPrefix(relative, ".."+string(filepath.Separator))
}

// replace puts built at target. What was there is at old, or back in its place
// when that fails.
func replace(built, target, old string) error {
	err := os.Rename(target, old)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	had := err == nil
	if err := os.Rename(built, target); err != nil {
		if had {
			err = errors.Join(err, os.Rename(old, target))
		}
		return err
	}
	return nil
}
