// Package secretfile keeps one secret in one file.
//
// The file is made at the first call, whole or not at all, readable by its
// owner only, and kept from then on; of several processes that make it at the
// same time one wins and all read the same content. A file that others may
// read is tightened. Functions are safe for concurrent use.
package secretfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
)

const mode fs.FileMode = 0o600

const maxSize = 4096

// Ensure gives the content of the file at path without surrounding space. When
// there is no such file it is made with the content that generate gives.
func Ensure(path string, generate func() (string, error), log *slog.Logger) (string, error) {
	content, err := read(path, log)
	if !errors.Is(err, fs.ErrNotExist) {
		return content, err
	}
	fresh, err := generate()
	if err != nil {
		return "", err
	}
	if err := create(path, fresh); err != nil {
		return "", fmt.Errorf("make %s: %w", path, err)
	}
	return read(path, log)
}

func read(path string, log *slog.Logger) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("%s must be a file", path)
	}
	if open := info.Mode().Perm(); open&^mode != 0 {
		if err := f.Chmod(mode); err != nil {
			return "", fmt.Errorf("%s is open to others (mode %04o) and cannot be made private: run chmod 600 on it: %w", path, open, err)
		}
		log.Warn("secret file was open to others and is private now; replace the secret if others may have read it",
			"path", path, "mode", fmt.Sprintf("%04o", open))
	}
	content, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	if err != nil {
		return "", err
	}
	if len(content) > maxSize {
		return "", fmt.Errorf("%s must hold one secret, but is larger than %d bytes", path, maxSize)
	}
	return string(bytes.TrimSpace(content)), nil
}

// create writes the file under a name of its own and then links it to path, so
// that path is never seen half written and a file that is there stays.
func create(path, content string) (err error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(dir, "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(tmp.Name())) }()
	_, err = tmp.WriteString(content + "\n")
	err = errors.Join(err, tmp.Sync(), tmp.Close())
	if err != nil {
		return err
	}
	if err := os.Link(tmp.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
