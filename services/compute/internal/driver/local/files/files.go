// Package files lays out what a replica is started with. Files come by digest
// from the artefact store into a cache on this machine, verified, and are then
// copied or hard-linked where they are wanted.
//
// A Cache is safe for concurrent use: one digest is fetched once at a time, and
// a file appears under its name only when it is whole; what could not be written
// to its end, because the disk is full, is removed. Sweep keeps the cache's size
// in bounds; how recently a file was used is its modification time.
package files

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/services/compute/internal/workload"
)

// Source gives the content with a digest, and its size.
type Source interface {
	Open(ctx context.Context, sha256 string) (io.ReadCloser, int64, error)
}

// fetchPrefix begins the names of files that are being fetched.
const fetchPrefix = ".fetch-"

// How files are put in place.
type How int

// The ways. Linked files are read-only and may be shared with other replicas.
const (
	Copy How = iota
	Link
)

// Cache keeps content on this machine.
type Cache struct {
	dir    string
	source Source

	mu       sync.Mutex
	fetching map[string]*sync.Mutex
	verified map[string]bool
}

// NewCache makes a cache in dir.
func NewCache(dir string, source Source) *Cache {
	return &Cache{dir: dir, source: source, fetching: map[string]*sync.Mutex{}, verified: map[string]bool{}}
}

// Lay puts the files below dir. What is there already under a wanted name is replaced.
func (c *Cache) Lay(ctx context.Context, wanted []workload.File, dir string, how How) error {
	for _, f := range wanted {
		if !workload.LocalPath(f.Path) {
			return fmt.Errorf("the path %q leads out of its folder", f.Path)
		}
		content, err := c.fetch(ctx, f)
		if err != nil {
			return fmt.Errorf("fetch %s: %w", f.Path, err)
		}
		target := filepath.Join(dir, filepath.FromSlash(f.Path))
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return fmt.Errorf("make room for %s: %w", f.Path, inSpace(err, dir, f.Size))
		}
		if err := os.Remove(target); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("replace %s: %w", f.Path, err)
		}
		if how == Link && os.Link(content, target) == nil {
			continue
		}
		if err := copyFile(content, target); err != nil {
			return fmt.Errorf("copy %s: %w", f.Path, inSpace(err, dir, f.Size))
		}
	}
	return nil
}

// fetch gives the cached file with the content of f. It is verified when this
// process uses it for the first time.
func (c *Cache) fetch(ctx context.Context, f workload.File) (string, error) {
	lock := c.lock(f.SHA256)
	lock.Lock()
	defer lock.Unlock()
	path := filepath.Join(c.dir, f.SHA256[:2], f.SHA256)
	if c.intact(path, f) {
		now := time.Now()
		_ = os.Chtimes(path, now, now) // at worst it is fetched again one day
		return path, nil
	}
	if err := c.download(ctx, path, f); err != nil {
		return "", err
	}
	c.mark(f.SHA256)
	return path, nil
}

func (c *Cache) intact(path string, f workload.File) bool {
	info, err := os.Stat(path)
	if err != nil || info.Size() != f.Size {
		return false
	}
	c.mu.Lock()
	known := c.verified[f.SHA256]
	c.mu.Unlock()
	if known {
		return true
	}
	file, err := os.Open(path)
	if err != nil {
		return false
	}
	defer file.Close()
	h := sha256.New()
	if _, err := io.Copy(h, file); err != nil || hex.EncodeToString(h.Sum(nil)) != f.SHA256 {
		return false
	}
	c.mark(f.SHA256)
	return true
}

func (c *Cache) download(ctx context.Context, path string, f workload.File) error {
	content, _, err := c.source.Open(ctx, f.SHA256)
	if err != nil {
		return err
	}
	defer content.Close()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return inSpace(err, c.dir, f.Size)
	}
	if free, known := freeBytes(c.dir); known && free < f.Size {
		return &SpaceError{Path: c.dir, Needed: f.Size, Free: free}
	}
	temp, err := os.CreateTemp(filepath.Dir(path), fetchPrefix)
	if err != nil {
		return inSpace(err, c.dir, f.Size)
	}
	defer os.Remove(temp.Name())
	h := sha256.New()
	size, err := io.Copy(io.MultiWriter(temp, h), content)
	if apierr.KindOf(err) == apierr.DataLoss { // the store knows that it gave other bytes
		_ = temp.Close()
		return &DigestError{Path: f.Path, Want: f.SHA256, Got: hex.EncodeToString(h.Sum(nil)), WantSize: f.Size, GotSize: size}
	}
	if err = errors.Join(err, temp.Chmod(0o444), temp.Close()); err != nil {
		return inSpace(err, c.dir, f.Size)
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != f.SHA256 || size != f.Size {
		return &DigestError{Path: f.Path, Want: f.SHA256, Got: got, WantSize: f.Size, GotSize: size}
	}
	return inSpace(os.Rename(temp.Name(), path), c.dir, f.Size)
}

func (c *Cache) lock(digest string) *sync.Mutex {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fetching[digest] == nil {
		c.fetching[digest] = &sync.Mutex{}
	}
	return c.fetching[digest]
}

func (c *Cache) mark(digest string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.verified[digest] = true
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err = errors.Join(err, out.Close()); err != nil {
		return errors.Join(err, os.Remove(to))
	}
	return nil
}
