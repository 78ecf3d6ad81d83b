package installation

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/fairlead/fairlead/cmd/internal/output"
	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/platform/backup"
	"github.com/fairlead/fairlead/platform/backup/streams"
)

// Backup writes the file and gives its manifest.
func Backup(ctx context.Context, p Place, file string, deps Deps) (backup.Manifest, error) {
	if err := p.Validate(); err != nil {
		return backup.Manifest{}, err
	}
	w, err := backup.Create(file, deps.Now())
	if err != nil {
		return backup.Manifest{}, err
	}
	defer w.Abort()
	b := &backingUp{place: p, writer: w, deps: deps}
	m := backup.Manifest{Version: deps.Version}
	// Secrets are made before state that needs them, artefacts before state that
	// names them, and neither is ever removed.
	for _, part := range []func(context.Context, *backup.Manifest) error{b.secrets, b.streams, b.artefacts, b.telemetry} {
		if err := part(ctx, &m); err != nil {
			return m, err
		}
	}
	deps.Step("writing the manifest")
	return w.Commit(m)
}

// backingUp is one backup.
type backingUp struct {
	place  Place
	writer *backup.Writer
	deps   Deps
}

// part writes a part of which the content is known.
func (b *backingUp) part(name string, content io.Reader) error {
	part, err := b.writer.Part(name)
	if err != nil {
		return err
	}
	if _, err := io.Copy(part, content); err != nil {
		return err
	}
	return part.Close()
}

func (b *backingUp) secrets(context.Context, *backup.Manifest) error {
	b.deps.Step("secrets")
	for _, name := range secretFiles() {
		f, err := os.Open(filepath.Join(b.place.DataDir, name))
		if err != nil {
			return fmt.Errorf("%s is no data folder of auth: %w", b.place.DataDir, err)
		}
		err = b.part(secretsPrefix+name, f)
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	return nil
}

// streams copies all streams at once, each into a file beside the backup, because
// parts are written one after the other.
func (b *backingUp) streams(ctx context.Context, m *backup.Manifest) (err error) {
	b.deps.Step("state and events")
	conn, err := b.place.source(ctx, b.deps.Logger)
	if err != nil {
		return err
	}
	defer conn.close()
	m.Online = conn.online
	names, err := streams.Names(ctx, conn.Conn)
	if err != nil {
		return err
	}
	if len(names) == 0 {
		return errors.New("the NATS server holds no state: is it the one that the installation uses?")
	}
	spool := &spool{folder: b.writer.Folder()}
	defer func() { err = errors.Join(err, spool.close()) }()
	targets := make([]streams.Target, 0, len(names))
	for _, name := range names {
		f, err := spool.file()
		if err != nil {
			return err
		}
		targets = append(targets, streams.Target{Stream: name, Part: f})
	}
	captured, err := streams.Capture(ctx, conn.Conn, targets, func(stream string, messages uint64) {
		b.deps.Status(fmt.Sprintf("%s, %d messages", stream, messages))
	})
	if err != nil {
		return err
	}
	m.Taken, m.Apart, m.Streams = captured.Taken, captured.Apart, captured.Streams
	for i := range m.Streams {
		m.Streams[i].Part = streamsPrefix + m.Streams[i].Name
		content, err := spool.read(i)
		if err != nil {
			return err
		}
		if err := b.part(m.Streams[i].Part, content); err != nil {
			return err
		}
	}
	return nil
}

func (b *backingUp) artefacts(ctx context.Context, _ *backup.Manifest) (err error) {
	b.deps.Step("artefacts")
	store, err := openArtefacts(ctx, b.place.Artefacts, b.place.DataDir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	var count, bytes int64
	for digest, err := range store.Digests(ctx) {
		if err != nil {
			return err
		}
		content, size, err := store.Open(ctx, digest)
		if err != nil {
			return err
		}
		err = b.part(path.Join(artefactFolder, digest), content)
		if err = errors.Join(err, content.Close()); err != nil {
			return artefactError(digest, err)
		}
		count, bytes = count+1, bytes+size
		b.deps.Status(fmt.Sprintf("%d files, %s", count, output.Bytes(bytes)))
	}
	return nil
}

func artefactError(digest string, err error) error {
	if apierr.KindOf(err) == apierr.DataLoss {
		return fmt.Errorf("artefact %s cannot be backed up: register the model that has it again: %w", digest, err)
	}
	return fmt.Errorf("artefact %s: %w", digest, err)
}

// telemetry copies what telemetry keeps, where it is in the same data folder. Its
// files never change but for the log, which only grows and whose end may be cut
// off; what replaces files names them, so having both counts nothing twice.
func (b *backingUp) telemetry(ctx context.Context, _ *backup.Manifest) error {
	folder := filepath.Join(b.place.DataDir, telemetryFolder)
	if _, err := os.Stat(folder); b.place.several() || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	b.deps.Step("telemetry")
	done := map[string]bool{}
	for again := true; again; {
		again = false
		err := fs.WalkDir(os.DirFS(folder), ".", func(name string, entry fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				again = true // replaced by files that the next look finds
				return nil
			}
			if err != nil || ctx.Err() != nil {
				return errors.Join(err, ctx.Err())
			}
			if !entry.Type().IsRegular() || done[name] || strings.HasSuffix(name, ".tmp") {
				return nil
			}
			found, err := b.telemetryFile(folder, name)
			done[name], again = found, again || !found
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (b *backingUp) telemetryFile(folder, name string) (found bool, err error) {
	f, err := os.Open(filepath.Join(folder, name))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return true, err
	}
	return true, b.part(path.Join(telemetryFolder, filepath.ToSlash(name)), io.LimitReader(f, info.Size()))
}
