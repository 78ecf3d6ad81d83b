// Package packaging writes the Docker build context of a script with its models:
// what imagerecipe says, the files, the program, and how to use it all.
//
// A context appears at its path whole or not at all, and the same input gives the
// same bytes, modes and file times. What is at the path already is replaced only
// when it is a context that was written here before.
package packaging

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/fairlead/fairlead/cmd/internal/imagerecipe"
	"github.com/fairlead/fairlead/cmd/internal/upload"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
)

// ManifestFile says what a context holds; a folder with one may be replaced.
const ManifestFile = "fairlead-package.json"

// downloader brings a model's files to a folder, checked against their digests.
type downloader interface {
	Download(ctx context.Context, model *deployv1.ModelVersion, folder string, overwrite bool) error
}

// Context is a build context to be written.
type Context struct {
	Environment imagerecipe.Environment
	// RunArguments are arguments that the environment wants the container tool to have.
	RunArguments []string
	EntryScript  string
	Source       []upload.File // hashed
	Models       []*deployv1.ModelVersion
	// Program is a file on this machine, copied into the context; empty when
	// FairleadImage has it.
	Program       string
	Platform      string // that the program is for, as os/architecture
	FairleadImage string
}

// manifest is the content of ManifestFile.
type manifest struct {
	EntryScript   string            `json:"entryScript"`
	Environment   string            `json:"environment,omitempty"`
	Models        []modelEntry      `json:"models"`
	FairleadImage string            `json:"fairleadImage,omitempty"`
	Platform      string            `json:"platform,omitempty"`
	Files         map[string]string `json:"files"` // SHA-256 by path in the context
}

type modelEntry struct {
	ID     string `json:"id"`
	Digest string `json:"digest"`
}

// Recipe gives the texts of the context. The error lists all that an image
// cannot have.
func (c Context) Recipe() (imagerecipe.Recipe, error) {
	return imagerecipe.Make(c.Environment, c.app())
}

func (c Context) app() imagerecipe.App {
	app := imagerecipe.App{EntryScript: c.EntryScript, FairleadImage: c.FairleadImage}
	for _, m := range c.Models {
		app.Models = append(app.Models, imagerecipe.Model{Name: m.GetModel(), Version: m.GetVersion()})
	}
	return app
}

// Write writes the context to dir, where Check lets it through.
func (c Context) Write(ctx context.Context, from downloader, dir string, overwrite bool) (err error) {
	if err := Check(dir, overwrite); err != nil {
		return err
	}
	recipe, err := c.Recipe()
	if err != nil {
		return err
	}
	target, err := resolve(dir)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	// Beside its place: the last step is a rename within one file system.
	work, err := os.MkdirTemp(filepath.Dir(target), "."+filepath.Base(target)+"-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	built := filepath.Join(work, "new")
	if err := c.build(ctx, from, built, recipe); err != nil {
		return err
	}
	return replace(built, target, filepath.Join(work, "old"))
}

func (c Context) build(ctx context.Context, from downloader, dir string, recipe imagerecipe.Recipe) error {
	for _, m := range c.Models {
		folder := filepath.Join(dir, imagerecipe.ModelsFolder, m.GetModel(), strconv.FormatInt(m.GetVersion(), 10))
		if err := from.Download(ctx, m, folder, false); err != nil {
			return fmt.Errorf("model %s: %w", m.GetId(), err)
		}
	}
	if err := c.writeFiles(ctx, dir, recipe); err != nil {
		return err
	}
	sums, err := digests(ctx, dir)
	if err != nil {
		return err
	}
	m := manifest{
		EntryScript: c.EntryScript, Environment: c.Environment.ID, Models: []modelEntry{}, FairleadImage: c.FairleadImage,
		Platform: c.Platform, Files: sums,
	}
	for _, model := range c.Models {
		m.Models = append(m.Models, modelEntry{ID: model.GetId(), Digest: model.GetDigest()})
	}
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, ManifestFile), append(text, '\n'), 0o644); err != nil {
		return err
	}
	return settle(dir)
}

func (c Context) writeFiles(ctx context.Context, dir string, recipe imagerecipe.Recipe) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if c.Program != "" {
		program := filepath.Join(dir, imagerecipe.ProgramFile)
		if _, err := copyFile(ctx, c.Program, program); err != nil {
			return err
		}
		if err := os.Chmod(program, 0o755); err != nil {
			return err
		}
	}
	for _, f := range c.Source {
		local := filepath.Join(dir, imagerecipe.AppFolder, filepath.FromSlash(f.Path))
		sum, err := copyFile(ctx, f.Local, local)
		if err != nil {
			return err
		}
		if sum != f.SHA256 {
			return fmt.Errorf("%s has changed while it was packaged; try again", f.Local)
		}
	}
	texts := maps.Clone(recipe.Files)
	texts["README.md"] = c.readme(recipe)
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		local := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(local), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(local, []byte(texts[name]), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// copyFile copies a file with its right to be run, and gives its digest.
func copyFile(ctx context.Context, from, to string) (string, error) {
	in, err := os.Open(from)
	if err != nil {
		return "", err
	}
	defer func() { _ = in.Close() }()
	info, err := in.Stat()
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return "", err
	}
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644|info.Mode().Perm()&0o100)
	if err != nil {
		return "", err
	}
	digest := sha256.New()
	_, err = io.Copy(io.MultiWriter(out, digest), &untilDone{ctx: ctx, r: in})
	if err := errors.Join(err, out.Close()); err != nil {
		return "", fmt.Errorf("copy %s: %w", from, err)
	}
	return hex.EncodeToString(digest.Sum(nil)), nil
}

// untilDone reads until its context ends.
type untilDone struct {
	ctx context.Context
	r   io.Reader
}

func (u *untilDone) Read(p []byte) (int, error) {
	if u.ctx.Err() != nil {
		return 0, context.Cause(u.ctx)
	}
	return u.r.Read(p)
}

// digests gives the digest of every file of a folder.
func digests(ctx context.Context, dir string) (map[string]string, error) {
	sums := map[string]string{}
	err := filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		relative, err := filepath.Rel(dir, name)
		if err != nil {
			return err
		}
		files := []upload.File{{Local: name}}
		if err := upload.Hash(ctx, files); err != nil {
			return err
		}
		sums[path.Clean(filepath.ToSlash(relative))] = files[0].SHA256
		return nil
	})
	return sums, err
}

// settle gives all files the modes that an image needs, whatever the umask is,
// and one time, so that an archive of the folder is the same every time.
func settle(dir string) error {
	when := time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC) // the first that every archive format can hold
	var folders []string
	err := filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			folders = append(folders, name)
			return nil
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		mode := fs.FileMode(0o644)
		if info.Mode().Perm()&0o100 != 0 {
			mode = 0o755
		}
		return errors.Join(os.Chmod(name, mode), os.Chtimes(name, when, when))
	})
	for _, folder := range folders {
		err = errors.Join(err, os.Chmod(folder, 0o755), os.Chtimes(folder, when, when))
	}
	return err
}
