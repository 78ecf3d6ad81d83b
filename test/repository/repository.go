// Package repository finds the repository's folder from a test's. It is safe for
// concurrent use.
package repository

import (
	"errors"
	"os"
	"path/filepath"
)

// Root gives the folder of go.work, here or above.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.work")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("no go.work in this folder or above")
		}
		dir = parent
	}
}
