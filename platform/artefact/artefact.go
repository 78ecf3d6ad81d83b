// Package artefact keeps file contents by their SHA-256, in a bucket that is a
// folder or an object store.
//
// A content is whole and verified or not there at all: Put checks size and
// digest before it commits, and Open checks again while reading, so that a
// damaged bucket is noticed instead of served. What Put has stored in a folder
// has reached the disk: state that names it may be written next. All
// methods are safe for concurrent use, also by several processes on one bucket.
package artefact

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"iter"
	"net/url"
	"os"
	"path"
	"path/filepath"

	"gocloud.dev/blob"
	_ "gocloud.dev/blob/fileblob" // file:// buckets
	"gocloud.dev/gcerrors"

	"github.com/fairlead/fairlead/platform/apierr"
)

// Store is a bucket of contents.
type Store struct{ bucket *blob.Bucket }

// Open opens the bucket at a URL such as file:///var/lib/fairlead/artefacts?create_dir=true.
func Open(ctx context.Context, bucket string) (*Store, error) {
	b, err := blob.OpenBucket(ctx, withDefaults(bucket))
	if err != nil {
		return nil, fmt.Errorf("open the artefact bucket: %w", err)
	}
	return &Store{bucket: b}, nil
}

// withDefaults makes a folder hold contents only, written where they stay: a file
// beside each that describes it could be damaged by itself, and a rename from
// another file system fails.
func withDefaults(bucket string) string {
	u, err := url.Parse(bucket)
	if err != nil || u.Scheme != "file" {
		return bucket
	}
	q := u.Query()
	for name, value := range map[string]string{"metadata": "skip", "no_tmp_dir": "true"} {
		if !q.Has(name) {
			q.Set(name, value)
		}
	}
	u.RawQuery = q.Encode()
	return u.String()
}

// Close releases the bucket.
func (s *Store) Close() error { return s.bucket.Close() }

const prefix = "sha256/"

func key(digest string) string { return prefix + digest[:2] + "/" + digest }

func checkDigest(digest string) error {
	if raw, err := hex.DecodeString(digest); err != nil || len(raw) != sha256.Size {
		return apierr.Invalid(apierr.Violation{Field: "sha256", Description: "must be 64 lower-case hexadecimal digits"})
	}
	return nil
}

// Has says whether a content is there.
func (s *Store) Has(ctx context.Context, digest string) (bool, error) {
	if err := checkDigest(digest); err != nil {
		return false, err
	}
	return s.bucket.Exists(ctx, key(digest))
}

// Put stores what r gives until its end, when that has the given digest and
// size; else it stores nothing and the error is of kind DataLoss. A content
// that is there already with this size is kept; r is checked all the same, so
// that who put a content in had it.
func (s *Store) Put(ctx context.Context, digest string, size int64, r io.Reader) (err error) {
	if err := checkDigest(digest); err != nil {
		return err
	}
	there, err := s.bucket.Attributes(ctx, key(digest))
	if err == nil && there.Size == size {
		sum := sha256.New()
		n, err := io.Copy(sum, r)
		if err != nil {
			return err
		}
		return verify(digest, size, n, sum)
	}
	if err != nil && gcerrors.Code(err) != gcerrors.NotFound {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var file *os.File // when the bucket is a folder
	w, err := s.bucket.NewWriter(ctx, key(digest), &blob.WriterOptions{
		ContentType: "application/octet-stream",
		BeforeWrite: func(as func(any) bool) error { as(&file); return nil },
	})
	if err != nil {
		return err
	}
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(w, sum), r)
	if err == nil {
		err = verify(digest, size, n, sum)
	}
	if err == nil && file != nil {
		err = file.Sync() // before the name is there: a content is never seen in part
	}
	if err != nil {
		cancel() // makes Close give the content up
		_ = w.Close()
		return err
	}
	if err := w.Close(); err != nil || file == nil {
		return err
	}
	return syncFolders(filepath.Dir(file.Name()))
}

// syncFolders makes the names of a new content last, from its own folder up to the
// bucket's: those between may be new as well.
func syncFolders(dir string) error {
	for range 3 {
		d, err := os.Open(dir)
		if err != nil {
			return err
		}
		if err := errors.Join(d.Sync(), d.Close()); err != nil {
			return err
		}
		dir = filepath.Dir(dir)
	}
	return nil
}

func verify(digest string, size, gotSize int64, sum hash.Hash) error {
	if got := hex.EncodeToString(sum.Sum(nil)); got != digest || gotSize != size {
		return apierr.New(apierr.DataLoss, "DIGEST_MISMATCH",
			"the content is damaged: %d bytes with SHA-256 %s, expected %d bytes with %s", gotSize, got, size, digest)
	}
	return nil
}

// Open gives a content and its size. The last read fails with an error of kind
// DataLoss instead of io.EOF when the content is damaged.
func (s *Store) Open(ctx context.Context, digest string) (io.ReadCloser, int64, error) {
	if err := checkDigest(digest); err != nil {
		return nil, 0, err
	}
	r, err := s.bucket.NewReader(ctx, key(digest), nil)
	if err != nil {
		return nil, 0, notFound(digest, err)
	}
	return &verifying{Reader: r, digest: digest, sum: sha256.New()}, r.Size(), nil
}

// verifying checks the digest at the end of reading.
type verifying struct {
	*blob.Reader
	digest string
	sum    hash.Hash
	n      int64
}

func (v *verifying) Read(p []byte) (int, error) {
	n, err := v.Reader.Read(p)
	v.sum.Write(p[:n])
	v.n += int64(n)
	if errors.Is(err, io.EOF) {
		if got := hex.EncodeToString(v.sum.Sum(nil)); got != v.digest {
			return n, apierr.New(apierr.DataLoss, "DIGEST_MISMATCH",
				"the stored content is damaged: %d bytes with SHA-256 %s, expected SHA-256 %s", v.n, got, v.digest)
		}
	}
	return n, err
}

// WriteTo is hidden from io.Copy's sight by being defined here, so that every
// byte passes Read and its check.
func (v *verifying) WriteTo(w io.Writer) (int64, error) {
	return io.Copy(w, struct{ io.Reader }{v})
}

// ReadAt gives at most limit bytes from offset, none beyond the end, and the
// size of the whole content. A part cannot be verified by itself.
func (s *Store) ReadAt(ctx context.Context, digest string, offset, limit int64) (data []byte, size int64, err error) {
	if err := checkDigest(digest); err != nil {
		return nil, 0, err
	}
	attrs, err := s.bucket.Attributes(ctx, key(digest))
	if err != nil {
		return nil, 0, notFound(digest, err)
	}
	if limit = min(limit, attrs.Size-offset); limit <= 0 {
		return nil, attrs.Size, nil
	}
	r, err := s.bucket.NewRangeReader(ctx, key(digest), offset, limit, nil)
	if err != nil {
		return nil, 0, notFound(digest, err)
	}
	data, err = io.ReadAll(r)
	return data, attrs.Size, errors.Join(err, r.Close())
}

// Digests gives the digests of all contents, in order. What is added meanwhile may be
// among them or not.
func (s *Store) Digests(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		list := s.bucket.List(&blob.ListOptions{Prefix: prefix})
		for {
			object, err := list.Next(ctx)
			if errors.Is(err, io.EOF) {
				return
			}
			if err == nil {
				err = ctx.Err() // a folder's list does not look
			}
			if err != nil {
				yield("", fmt.Errorf("list the artefacts: %w", err))
				return
			}
			digest := path.Base(object.Key)
			if checkDigest(digest) != nil || object.Key != key(digest) {
				continue // not ours
			}
			if !yield(digest, nil) {
				return
			}
		}
	}
}

// Delete removes a content; no error when it is not there.
func (s *Store) Delete(ctx context.Context, digest string) error {
	if err := checkDigest(digest); err != nil {
		return err
	}
	if err := s.bucket.Delete(ctx, key(digest)); err != nil && gcerrors.Code(err) != gcerrors.NotFound {
		return err
	}
	return nil
}

func notFound(digest string, err error) error {
	if gcerrors.Code(err) == gcerrors.NotFound {
		return apierr.New(apierr.NotFound, "ARTEFACT_NOT_FOUND", "there is no content with SHA-256 %s: upload it first", digest)
	}
	return err
}
