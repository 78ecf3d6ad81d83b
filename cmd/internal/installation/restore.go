package installation

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/fairlead/fairlead/cmd/internal/assembly"
	"github.com/fairlead/fairlead/cmd/internal/output"
	"github.com/fairlead/fairlead/platform/artefact"
	"github.com/fairlead/fairlead/platform/backup"
	"github.com/fairlead/fairlead/platform/backup/streams"
	"github.com/fairlead/fairlead/platform/bus"
)

// Verify reads all of a backup and reports everything that is damaged.
func Verify(ctx context.Context, r *backup.Reader, deps Deps) error {
	deps.Step("checking the backup")
	err := r.Verify(ctx, func(read, total int64) {
		deps.Status(output.Bytes(read) + " of " + output.Bytes(total))
	})
	if err != nil {
		return err
	}
	var problems []error
	for _, s := range r.Manifest().Streams {
		problems = append(problems, withPart(r, s.Part, func(part io.Reader) error { return streams.Verify(s, part) }))
	}
	for _, name := range secretFiles() {
		problems = append(problems, withPart(r, secretsPrefix+name, func(part io.Reader) error {
			_, err := io.Copy(io.Discard, part)
			return err
		}))
	}
	return errors.Join(problems...)
}

// withPart opens a part for as long as f reads it.
func withPart(r *backup.Reader, name string, f func(io.Reader) error) error {
	part, err := r.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(f(part), part.Close())
}

// Restore makes an installation of a backup, where there is none.
func Restore(ctx context.Context, p Place, r *backup.Reader, deps Deps) error {
	if err := p.Validate(); err != nil {
		return err
	}
	if err := checkEmpty(p); err != nil {
		return err
	}
	if err := Verify(ctx, r, deps); err != nil {
		return err
	}
	if err := os.MkdirAll(p.DataDir, 0o700); err != nil {
		return fmt.Errorf("make the data folder: %w", err)
	}
	restore := restoreFolder
	if p.several() {
		restore = restoreServices
	}
	stage := filepath.Join(p.DataDir, assembly.UnfinishedRestore)
	err := os.Mkdir(stage, 0o700)
	if err == nil {
		err = restore(ctx, p, r, stage, deps)
	}
	if err != nil {
		return errors.Join(err, os.RemoveAll(stage))
	}
	return nil
}

// checkEmpty refuses a data folder in which something is. In an installation of
// several processes it is that of auth, which may share it with other services.
func checkEmpty(p Place) error {
	entries, err := os.ReadDir(p.DataDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		if e.Name() == "lost+found" {
			continue
		}
		return fmt.Errorf("the data folder %s is not empty (it has %s): restore into a new folder, or move this one away", p.DataDir, e.Name())
	}
	return nil
}

// restoreFolder makes a data folder of all services. All is made beside its place
// and then moved, and the folder that tells of an unfinished restore goes last.
func restoreFolder(ctx context.Context, p Place, r *backup.Reader, stage string, deps Deps) error {
	artefacts, err := openArtefacts(ctx, "", stage)
	if err != nil {
		return err
	}
	if err := errors.Join(restoreArtefacts(ctx, r, artefacts, deps), artefacts.Close()); err != nil {
		return err
	}
	conn, err := startNATS(ctx, bus.Config{StoreDir: filepath.Join(stage, natsFolder), Unsynced: true}, deps.Logger)
	if err != nil {
		return err
	}
	err = restoreStreams(ctx, r, conn.Conn, deps)
	conn.close()
	if err != nil {
		return err
	}
	if err := restoreFiles(ctx, r, stage, deps); err != nil {
		return err
	}
	return moveUp(stage, p.DataDir)
}

// restoreServices fills the NATS server, the bucket and the data folder of auth. The
// secrets come last: without them no service starts on the rest.
func restoreServices(ctx context.Context, p Place, r *backup.Reader, stage string, deps Deps) (err error) {
	target, err := assembly.ServiceTarget(p.CertDir, p.NATS)
	if err != nil {
		return err
	}
	conn, err := connect(ctx, target, deps.Logger)
	if err != nil {
		return err
	}
	defer conn.close()
	there, err := streams.Names(ctx, conn.Conn)
	if err != nil {
		return err
	}
	if len(there) > 0 {
		return fmt.Errorf("the NATS server at %s has state (%s): stop the other services, and restore into a new NATS server",
			p.NATS, strings.Join(there, ", "))
	}
	artefacts, err := openArtefacts(ctx, p.Artefacts, "")
	if err != nil {
		return err
	}
	if err := errors.Join(restoreArtefacts(ctx, r, artefacts, deps), artefacts.Close()); err != nil {
		return err
	}
	if err := restoreStreams(ctx, r, conn.Conn, deps); err != nil {
		return err
	}
	if err = restoreFiles(ctx, r, stage, deps); err == nil {
		err = moveUp(stage, p.DataDir)
	}
	if err != nil {
		return errors.Join(err, removeStreams(ctx, r.Manifest().Streams, conn.Conn))
	}
	return nil
}

// restoreStreams restores those that source others last. When one fails, none is left.
func restoreStreams(ctx context.Context, r *backup.Reader, conn *streams.Conn, deps Deps) error {
	deps.Step("state and events")
	all := streams.RestoreOrder(r.Manifest().Streams)
	for i, s := range all {
		deps.Status(fmt.Sprintf("%s, %d messages", s.Name, s.Messages))
		err := withPart(r, s.Part, func(part io.Reader) error { return streams.Restore(ctx, conn, s, part) })
		if err != nil {
			return errors.Join(err, removeStreams(ctx, all[:i+1], conn))
		}
	}
	return nil
}

func removeStreams(ctx context.Context, all []backup.Stream, conn *streams.Conn) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), connectTimeout)
	defer cancel()
	var problems []error
	for _, s := range all {
		problems = append(problems, streams.Remove(ctx, conn, s.Name))
	}
	return errors.Join(problems...)
}

// restoreArtefacts leaves contents behind when it fails: a content under its digest
// is right in any bucket.
func restoreArtefacts(ctx context.Context, r *backup.Reader, store *artefact.Store, deps Deps) error {
	deps.Step("artefacts")
	count := 0
	for _, p := range r.Manifest().Parts {
		digest, ok := strings.CutPrefix(p.Name, artefactFolder+"/")
		if !ok {
			continue
		}
		err := withPart(r, p.Name, func(part io.Reader) error { return store.Put(ctx, digest, p.Size, part) })
		if err != nil {
			return fmt.Errorf("artefact %s: %w", digest, err)
		}
		count++
		deps.Status(fmt.Sprintf("%d files", count))
	}
	return nil
}

// restoreFiles writes secrets, and what telemetry keeps.
func restoreFiles(ctx context.Context, r *backup.Reader, folder string, deps Deps) error {
	deps.Step("secrets")
	for _, p := range r.Manifest().Parts {
		if err := ctx.Err(); err != nil {
			return err
		}
		name, secret := strings.CutPrefix(p.Name, secretsPrefix)
		if !secret && !strings.HasPrefix(p.Name, telemetryFolder+"/") {
			continue
		}
		path := filepath.Join(folder, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		if err := withPart(r, p.Name, func(part io.Reader) error { return writeFile(path, part) }); err != nil {
			return err
		}
	}
	return nil
}

func writeFile(path string, content io.Reader) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	return errors.Join(err, f.Close())
}

// moveUp syncs all that is in stage, moves it to the folder around it, and removes stage.
func moveUp(stage, folder string) error {
	err := filepath.WalkDir(stage, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() && !entry.Type().IsRegular() {
			return err
		}
		return syncPath(path)
	})
	if err != nil {
		return fmt.Errorf("sync the restored files: %w", err)
	}
	entries, err := os.ReadDir(stage)
	if err != nil {
		return err
	}
	for i, e := range entries {
		if err := os.Rename(filepath.Join(stage, e.Name()), filepath.Join(folder, e.Name())); err != nil {
			for _, moved := range entries[:i] {
				err = errors.Join(err, os.RemoveAll(filepath.Join(folder, moved.Name())))
			}
			return err
		}
	}
	return errors.Join(syncPath(folder), os.Remove(stage), syncPath(folder))
}

func syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
