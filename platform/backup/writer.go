package backup

import (
	"archive/zip"
	"compress/flate"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Writer makes a file. The caller ends it with Commit, or Abort.
type Writer struct {
	path  string
	file  *os.File
	zip   *zip.Writer
	now   time.Time
	parts []Part
	names map[string]bool
	open  *partWriter
}

// Create begins the file at path, which must not exist. Its parts bear the time now.
func Create(path string, now time.Time) (*Writer, error) {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		if err == nil {
			err = fmt.Errorf("%s exists: a backup replaces nothing, choose another name", path)
		}
		return nil, err
	}
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*") // readable by its owner only
	if err != nil {
		return nil, fmt.Errorf("make the backup: %w", err)
	}
	w := &Writer{path: path, file: file, zip: zip.NewWriter(file), now: now, names: map[string]bool{}}
	w.zip.RegisterCompressor(zip.Deflate, func(out io.Writer) (io.WriteCloser, error) {
		return flate.NewWriter(out, flate.BestSpeed)
	})
	return w, nil
}

// Folder is where the file will be, and has room for what is gathered for it.
func (w *Writer) Folder() string { return filepath.Dir(w.path) }

// Part begins a part, which must be closed before the next.
func (w *Writer) Part(name string) (io.WriteCloser, error) {
	switch {
	case w.open != nil:
		return nil, fmt.Errorf("backup: part %s is not closed", w.open.part.Name)
	case !validName(name):
		return nil, fmt.Errorf("backup: %q is no name of a part", name)
	case w.names[name]:
		return nil, fmt.Errorf("backup: there are two parts %s", name)
	}
	entry, err := w.entry(name)
	if err != nil {
		return nil, err
	}
	w.names[name] = true
	w.open = &partWriter{writer: w, entry: entry, sum: sha256.New(), part: Part{Name: name}}
	return w.open, nil
}

// validName keeps names to plain relative paths, which lead out of no folder.
func validName(name string) bool {
	return filepath.IsLocal(name) && !strings.Contains(name, `\`) && filepath.ToSlash(filepath.Clean(name)) == name && name != manifestName
}

func (w *Writer) entry(name string) (io.Writer, error) {
	header := &zip.FileHeader{Name: name, Method: zip.Deflate, Modified: w.now}
	header.SetMode(0o600)
	return w.zip.CreateHeader(header)
}

// Commit writes the manifest, for which it fills in format and parts, and gives
// the file its name.
func (w *Writer) Commit(m Manifest) (Manifest, error) {
	if w.open != nil {
		return m, fmt.Errorf("backup: part %s is not closed", w.open.part.Name)
	}
	m.Format, m.Parts = Format, w.parts
	raw, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return m, fmt.Errorf("write the manifest: %w", err)
	}
	entry, err := w.entry(manifestName)
	if err != nil {
		return m, err
	}
	if _, err := entry.Write(raw); err != nil {
		return m, fmt.Errorf("write the manifest: %w", err)
	}
	if err := errors.Join(w.zip.Close(), w.file.Sync(), w.file.Close()); err != nil {
		return m, fmt.Errorf("end the backup: %w", err)
	}
	return m, w.name()
}

// name gives the file its name. A link, unlike a rename, replaces nothing that has
// appeared meanwhile; not every file system has links.
func (w *Writer) name() error {
	err := os.Link(w.file.Name(), w.path)
	switch {
	case err == nil:
		return os.Remove(w.file.Name())
	case errors.Is(err, fs.ErrExist):
		return fmt.Errorf("name the backup: %w", err)
	}
	return os.Rename(w.file.Name(), w.path)
}

// Abort removes what was written; nothing after Commit has succeeded.
func (w *Writer) Abort() {
	_ = w.file.Close()
	_ = os.Remove(w.file.Name())
}

// partWriter counts and sums what is written to a part.
type partWriter struct {
	writer *Writer
	entry  io.Writer
	sum    hash.Hash
	part   Part
}

func (p *partWriter) Write(b []byte) (int, error) {
	n, err := p.entry.Write(b)
	p.sum.Write(b[:n])
	p.part.Size += int64(n)
	return n, err
}

func (p *partWriter) Close() error {
	if p.writer.open != p {
		return nil
	}
	p.part.SHA256 = hex.EncodeToString(p.sum.Sum(nil))
	p.writer.parts, p.writer.open = append(p.writer.parts, p.part), nil
	return nil
}
