package archive

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/fairlead/fairlead/cmd/internal/manifest"
)

// Writer writes an archive beside its place, and puts it there when it is whole.
type Writer struct {
	dir     string // where it is to be
	partial string
	replace bool // what is in its place
}

// Create begins an archive. Without overwrite its folder must be absent or empty;
// with it, it may be an earlier export, and nothing else.
func Create(dir string, overwrite bool) (*Writer, error) {
	replace, err := replaceable(dir, overwrite)
	if err != nil {
		return nil, err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return nil, err
	}
	partial, err := os.MkdirTemp(filepath.Dir(dir), "."+filepath.Base(dir)+".partial-")
	if err != nil {
		return nil, err
	}
	w := &Writer{dir: dir, partial: partial, replace: replace}
	if err := w.put(headFile, head{Kind: headKind, Format: Format}, 0o644); err != nil {
		w.Abandon()
		return nil, err
	}
	return w, nil
}

// replaceable tells whether something stands in the place of a new export.
func replaceable(dir string, overwrite bool) (bool, error) {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	case len(entries) == 0:
		return true, nil
	case !overwrite:
		return false, fmt.Errorf("%s is not empty; replace an earlier export with --overwrite", dir)
	}
	if err := readHead(dir); err != nil {
		return false, fmt.Errorf("%s is not replaced: %w", dir, err)
	}
	return true, nil
}

// Abandon takes back what has been written; after Finish it does nothing.
func (w *Writer) Abandon() { _ = os.RemoveAll(w.partial) }

// Finish puts the archive in its place.
func (w *Writer) Finish() error {
	if err := os.Chmod(w.partial, 0o755); err != nil {
		return err
	}
	if !w.replace {
		return os.Rename(w.partial, w.dir)
	}
	old := w.partial + ".old"
	if err := os.Rename(w.dir, old); err != nil {
		return err
	}
	if err := os.Rename(w.partial, w.dir); err != nil {
		return errors.Join(err, os.Rename(old, w.dir))
	}
	return os.RemoveAll(old)
}

// Workspace writes what is of the workspace itself.
func (w *Writer) Workspace(one Workspace) error {
	if err := w.put(filepath.Join(one.ID, workspaceFile), one, 0o644); err != nil {
		return err
	}
	return w.put(filepath.Join(one.ID, targetsFile), targets{Targets: one.Targets}, 0o644)
}

type targets struct {
	Targets []Target `yaml:"computeTargets"`
}

// Model writes a version of a model; its files belong into ModelFiles.
func (w *Writer) Model(workspace string, m Model) error {
	return w.put(filepath.Join(modelPath(workspace, m), modelFile), m, 0o644)
}

// ModelFiles gives the folder for the files of a version of a model.
func (w *Writer) ModelFiles(workspace string, m Model) string {
	return filepath.Join(w.partial, modelPath(workspace, m), filesFolder)
}

func modelPath(workspace string, m Model) string {
	return filepath.Join(workspace, modelsFolder, m.Name, strconv.FormatInt(m.Number, 10))
}

// Environment writes a version of an environment.
func (w *Writer) Environment(workspace string, e Environment) error {
	return w.put(filepath.Join(workspace, environmentFolder, e.Name, strconv.FormatInt(e.Number, 10)+".yaml"), e, 0o644)
}

// Endpoint writes an endpoint. Its versions' sources belong into Sources.
func (w *Writer) Endpoint(workspace string, e manifest.Endpoint) error {
	content, err := manifest.Write(e)
	if err != nil {
		return err
	}
	return w.file(filepath.Join(workspace, endpointsFolder, e.ID+".yaml"), content, 0o644)
}

// Sources gives the folder for the sources of a version, and how a document names it.
func (w *Writer) Sources(workspace, endpoint, version string) (folder, name string) {
	return filepath.Join(w.partial, workspace, endpointsFolder, endpoint, version), endpoint + "/" + version
}

// Keys writes the keys of endpoints, for the owner's eyes only.
func (w *Writer) Keys(workspace string, keys map[string]Keys) error {
	return w.put(filepath.Join(workspace, keysFile), keys, 0o600)
}

func (w *Writer) put(name string, value any, mode fs.FileMode) error {
	content, err := encode(value)
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return w.file(name, content, mode)
}

func (w *Writer) file(name string, content []byte, mode fs.FileMode) error {
	path := filepath.Join(w.partial, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, content, mode)
}
