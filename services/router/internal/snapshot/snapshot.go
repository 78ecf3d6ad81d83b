// Package snapshot keeps what a router knows on disk, so that it serves at once
// after a restart also when every other process is down.
//
// The file is replaced whole (written beside, synced, renamed; mode 0600) and
// carries its own digest: after a crash at any moment it is the old one or the
// new one, and a damaged one is noticed. Changes are written in bursts, at most
// debounce after the first.
package snapshot

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	routerv1 "github.com/fairlead/fairlead/proto/gen/fairlead/router/v1"
)

// magic begins every file; its last character is the version of the format.
const magic = "fairlead-routes1"

const (
	debounce = 100 * time.Millisecond
	// After a failed write it is tried again.
	retry = 2 * time.Second
)

// Encode makes the content of a file.
func Encode(s *routerv1.Snapshot) ([]byte, error) {
	payload, err := proto.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("encode snapshot: %w", err)
	}
	sum := sha256.Sum256(payload)
	return slices.Concat([]byte(magic), sum[:], payload), nil
}

// Decode reads the content of a file.
func Decode(content []byte) (*routerv1.Snapshot, error) {
	rest, ok := bytes.CutPrefix(content, []byte(magic))
	if !ok || len(rest) < sha256.Size {
		return nil, errors.New("not a snapshot of routes")
	}
	sum, payload := rest[:sha256.Size], rest[sha256.Size:]
	if got := sha256.Sum256(payload); !bytes.Equal(sum, got[:]) {
		return nil, errors.New("the snapshot is damaged: its digest does not fit its content")
	}
	s := &routerv1.Snapshot{}
	if err := proto.Unmarshal(payload, s); err != nil {
		return nil, fmt.Errorf("decode snapshot: %w", err)
	}
	return s, nil
}

// Load reads a file; ok is false when there is none.
func Load(path string) (s *routerv1.Snapshot, ok bool, err error) {
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("read snapshot: %w", err)
	}
	if s, err = Decode(content); err != nil {
		return nil, false, fmt.Errorf("%s: %w", path, err)
	}
	return s, true, nil
}

// Saver writes snapshots. Offer may be called by many goroutines.
type Saver struct {
	path   string
	logger *slog.Logger
	wake   chan struct{}

	mu      sync.Mutex
	pending *routerv1.Snapshot
}

// NewSaver writes to path; its folder is made if it does not exist.
func NewSaver(path string, logger *slog.Logger) *Saver {
	return &Saver{path: path, logger: logger, wake: make(chan struct{}, 1)}
}

// Offer hands over what is to be written next. It must not be changed any more.
func (s *Saver) Offer(snapshot *routerv1.Snapshot) {
	s.mu.Lock()
	s.pending = snapshot
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Run writes what is offered until ctx ends, and what is left then.
func (s *Saver) Run(ctx context.Context) error {
	for {
		select {
		case <-s.wake:
		case <-ctx.Done():
			return s.save()
		}
		s.settle(ctx, debounce)
		for err := s.save(); err != nil; err = s.save() {
			s.logger.Error("snapshot of routes not written", "path", s.path, "error", err)
			if s.settle(ctx, retry); ctx.Err() != nil {
				break
			}
		}
	}
}

// settle waits, or until ctx ends.
func (s *Saver) settle(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// save writes what is pending; it stays pending when that fails, unless
// something newer has been offered.
func (s *Saver) save() error {
	s.mu.Lock()
	snapshot := s.pending
	s.pending = nil
	s.mu.Unlock()
	if snapshot == nil {
		return nil
	}
	content, err := Encode(snapshot)
	if err == nil {
		err = replaceFile(s.path, content)
	}
	if err != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.pending == nil {
			s.pending = snapshot
		}
	}
	return err
}

// replaceFile makes the file have this content, at once or not at all.
func replaceFile(path string, content []byte) (err error) {
	folder := filepath.Dir(path)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	temp, err := os.CreateTemp(folder, filepath.Base(path)+".*.tmp") // made with mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			temp.Close()
			os.Remove(temp.Name())
		}
	}()
	if _, err = temp.Write(content); err != nil {
		return err
	}
	if err = temp.Sync(); err != nil {
		return err
	}
	if err = temp.Close(); err != nil {
		return err
	}
	if err = os.Rename(temp.Name(), path); err != nil {
		return err
	}
	return syncFolder(folder)
}

// syncFolder makes the rename itself last.
func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	defer folder.Close()
	return folder.Sync()
}
