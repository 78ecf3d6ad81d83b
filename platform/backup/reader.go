package backup

import (
	"archive/zip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"

	"github.com/fairlead/fairlead/platform/apierr"
)

// maxManifest bounds what is read of a file before anything is known of it.
const maxManifest = 256 << 20

// Reader reads a file.
type Reader struct {
	manifest Manifest
	zip      *zip.ReadCloser
	entries  map[string]*zip.File
	parts    map[string]Part
}

// Open opens the file at path and reads its manifest. A file that is no backup,
// is cut off, or is of a later format gives an error that says so.
func Open(path string) (*Reader, error) {
	archive, err := zip.OpenReader(path)
	if errors.Is(err, zip.ErrFormat) {
		return nil, damaged("%s is no backup, or was cut off", path)
	}
	if err != nil {
		return nil, openError(path, err)
	}
	r := &Reader{zip: archive, entries: map[string]*zip.File{}, parts: map[string]Part{}}
	if err := r.readManifest(); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), archive.Close())
	}
	return r, nil
}

func openError(path string, err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, os.ErrPermission) {
		return err
	}
	return fmt.Errorf("open the backup %s: %w", path, err)
}

func damaged(format string, args ...any) error {
	return apierr.New(apierr.DataLoss, "BACKUP_DAMAGED", format, args...)
}

// readManifest reads the manifest and compares the names in it with the entries.
func (r *Reader) readManifest() error {
	for _, f := range r.zip.File {
		if _, twice := r.entries[f.Name]; twice {
			return damaged("it has two parts %s", f.Name)
		}
		r.entries[f.Name] = f
	}
	entry, ok := r.entries[manifestName]
	if !ok {
		return damaged("it has no manifest, so it is no backup")
	}
	delete(r.entries, manifestName)
	raw, err := readAll(entry, maxManifest)
	if err != nil {
		return damaged("its manifest cannot be read: %v", err)
	}
	if err := json.Unmarshal(raw, &r.manifest); err != nil {
		return damaged("its manifest cannot be read: %v", err)
	}
	if r.manifest.Format < 1 || r.manifest.Format > Format {
		return apierr.New(apierr.FailedPrecondition, "BACKUP_FORMAT",
			"it has format %d, and this version of fairlead reads formats up to %d: use the version %s that made it, or a later one",
			r.manifest.Format, Format, r.manifest.Version)
	}
	return r.checkNames()
}

func (r *Reader) checkNames() error {
	var problems []error
	for _, p := range r.manifest.Parts {
		if _, twice := r.parts[p.Name]; twice || r.entries[p.Name] == nil || !validName(p.Name) {
			problems = append(problems, damaged("part %s is missing", p.Name))
		}
		r.parts[p.Name] = p
	}
	for name := range r.entries {
		if _, known := r.parts[name]; !known {
			problems = append(problems, damaged("%s is not in the manifest", name))
		}
	}
	for _, s := range r.manifest.Streams {
		if _, known := r.parts[s.Part]; !known {
			problems = append(problems, damaged("stream %s has no part", s.Name))
		}
	}
	return errors.Join(problems...)
}

func readAll(entry *zip.File, limit int64) ([]byte, error) {
	content, err := entry.Open()
	if err != nil {
		return nil, err
	}
	raw, err := io.ReadAll(io.LimitReader(content, limit+1))
	if err == nil && int64(len(raw)) > limit {
		err = fmt.Errorf("it is larger than %d bytes", limit)
	}
	return raw, errors.Join(err, content.Close())
}

// Close releases the file.
func (r *Reader) Close() error { return r.zip.Close() }

// Manifest gives the manifest, which must not be changed.
func (r *Reader) Manifest() Manifest { return r.manifest }

// Open reads a part. The last read fails with an error of kind DataLoss instead of
// io.EOF when the part is damaged.
func (r *Reader) Open(name string) (io.ReadCloser, error) {
	part, ok := r.parts[name]
	if !ok {
		return nil, damaged("there is no part %s", name)
	}
	content, err := r.entries[name].Open()
	if err != nil {
		return nil, damaged("part %s cannot be read: %v", name, err)
	}
	return &partReader{content: content, part: part, sum: sha256.New()}, nil
}

// Verify reads every part; progress, when not nil, hears how many bytes were read
// of how many. It reports all parts that are damaged.
func (r *Reader) Verify(ctx context.Context, progress func(read, total int64)) error {
	var read, total int64
	for _, p := range r.manifest.Parts {
		total += p.Size
	}
	var problems []error
	for _, p := range r.manifest.Parts {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := r.verifyPart(p.Name); err != nil {
			problems = append(problems, err)
		}
		read += p.Size
		if progress != nil {
			progress(read, total)
		}
	}
	return errors.Join(problems...)
}

func (r *Reader) verifyPart(name string) error {
	content, err := r.Open(name)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, content)
	return errors.Join(err, content.Close())
}

// partReader checks size and digest at the end of reading.
type partReader struct {
	content io.ReadCloser
	part    Part
	sum     hash.Hash
	size    int64
}

func (p *partReader) Read(b []byte) (int, error) {
	n, err := p.content.Read(b)
	p.sum.Write(b[:n])
	p.size += int64(n)
	switch {
	case p.size > p.part.Size:
		return n, damaged("part %s is longer than the %d bytes of the manifest", p.part.Name, p.part.Size)
	case errors.Is(err, io.EOF):
		if got := hex.EncodeToString(p.sum.Sum(nil)); got != p.part.SHA256 || p.size != p.part.Size {
			return n, damaged("part %s is damaged: %d bytes with SHA-256 %s, expected %d bytes with %s",
				p.part.Name, p.size, got, p.part.Size, p.part.SHA256)
		}
	case err != nil:
		return n, damaged("part %s cannot be read: %v", p.part.Name, err)
	}
	return n, err
}

func (p *partReader) Close() error { return p.content.Close() }
