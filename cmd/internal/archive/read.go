package archive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/fairlead/fairlead/cmd/internal/manifest"
	"github.com/fairlead/fairlead/cmd/internal/upload"
	"github.com/fairlead/fairlead/platform/apierr"
)

// Read reads an archive and compares all files with their digests. What is wrong
// in it is in the violations; an error says that it is no archive, or could not be
// read.
func Read(ctx context.Context, dir string) ([]Workspace, apierr.Violations, error) {
	if err := readHead(dir); err != nil {
		return nil, nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, nil, err
	}
	r := &reader{}
	var all []Workspace
	for _, entry := range entries {
		if !entry.IsDir() || strings.HasPrefix(entry.Name(), ".") {
			continue // what people keep beside, such as version control's
		}
		w, err := r.workspace(ctx, dir, entry.Name())
		if err != nil {
			return nil, nil, err
		}
		all = append(all, w)
	}
	if len(all) == 0 && len(r.bad) == 0 {
		r.bad.Add(dir, "holds no workspace")
	}
	return all, r.bad, nil
}

// readHead checks that a folder is an archive.
func readHead(dir string) error {
	content, err := os.ReadFile(filepath.Join(dir, headFile))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is no export: it has no %s", dir, headFile)
	}
	if err != nil {
		return err
	}
	var h head
	if err := yaml.Unmarshal(content, &h); err != nil || h.Kind != headKind {
		return fmt.Errorf("%s is no export: %s does not say %q", dir, headFile, "kind: "+headKind)
	}
	if h.Format != Format {
		return fmt.Errorf("%s has the format %d; this version of fairlead reads format %d", dir, h.Format, Format)
	}
	return nil
}

type reader struct{ bad apierr.Violations }

func (r *reader) workspace(ctx context.Context, dir, id string) (Workspace, error) {
	w := Workspace{ID: id}
	root := filepath.Join(dir, id)
	if err := r.file(filepath.Join(root, workspaceFile), true, &w); err != nil {
		return w, err
	}
	var t targets
	if err := r.file(filepath.Join(root, targetsFile), true, &t); err != nil {
		return w, err
	}
	for i, one := range t.Targets {
		if one.Name == "" || one.Purpose != DevTest && one.Purpose != FastProd {
			r.bad.Add(fmt.Sprintf("%s: computeTargets[%d]", filepath.Join(root, targetsFile), i), "must have a name, and the purpose %s or %s", FastProd, DevTest)
		}
	}
	w.Targets = t.Targets
	if err := r.file(filepath.Join(root, keysFile), false, &w.Keys); err != nil {
		return w, err
	}
	if err := r.models(ctx, root, &w); err != nil {
		return w, err
	}
	if err := r.environments(root, &w); err != nil {
		return w, err
	}
	return w, r.endpoints(root, &w)
}

func (r *reader) models(ctx context.Context, root string, w *Workspace) error {
	found, err := find(root, modelsFolder+"/*/*")
	if err != nil {
		return err
	}
	for _, folder := range found {
		m := Model{Name: filepath.Base(filepath.Dir(folder))}
		if m.Number = r.number(folder, filepath.Base(folder)); m.Number == 0 {
			continue
		}
		if err := r.file(filepath.Join(folder, modelFile), true, &m); err != nil {
			return err
		}
		if len(m.Digests) == 0 {
			r.bad.Add(filepath.Join(folder, modelFile)+": files", "must name the files with their digests")
		}
		if err := r.verify(ctx, folder, &m); err != nil {
			return err
		}
		w.Models = append(w.Models, m)
	}
	slices.SortFunc(w.Models, func(a, b Model) int { return byNumber(a.Name, b.Name, a.Number, b.Number) })
	return nil
}

// verify finds the files of a model and compares them with their digests.
func (r *reader) verify(ctx context.Context, folder string, m *Model) error {
	for _, path := range slices.Sorted(maps.Keys(m.Digests)) {
		local := filepath.FromSlash(path)
		if !filepath.IsLocal(local) {
			r.bad.Add(filepath.Join(folder, modelFile)+": files", "%q must be a path inside the folder, without \"..\"", path)
			continue
		}
		one := []upload.File{{Path: path, Local: filepath.Join(folder, filesFolder, local)}}
		err := upload.Hash(ctx, one)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, fs.ErrNotExist):
			r.bad.Add(one[0].Local, "is missing")
		case err != nil:
			r.bad.Add(one[0].Local, "cannot be read: %v", err)
		case one[0].SHA256 != m.Digests[path]:
			r.bad.Add(one[0].Local, "is damaged: its digest is %s, not %s", one[0].SHA256, m.Digests[path])
		default:
			m.Files = append(m.Files, one[0])
		}
	}
	return nil
}

func (r *reader) environments(root string, w *Workspace) error {
	found, err := find(root, environmentFolder+"/*/*.yaml")
	if err != nil {
		return err
	}
	for _, file := range found {
		e := Environment{Name: filepath.Base(filepath.Dir(file))}
		if e.Number = r.number(file, strings.TrimSuffix(filepath.Base(file), ".yaml")); e.Number == 0 {
			continue
		}
		if err := r.file(file, true, &e); err != nil {
			return err
		}
		w.Environments = append(w.Environments, e)
	}
	slices.SortFunc(w.Environments, func(a, b Environment) int { return byNumber(a.Name, b.Name, a.Number, b.Number) })
	return nil
}

func (r *reader) endpoints(root string, w *Workspace) error {
	found, err := find(root, endpointsFolder+"/*.yaml")
	if err != nil {
		return err
	}
	for _, file := range found {
		content, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		documents, problems := manifest.Read(file, content)
		r.manifest(problems)
		w.Endpoints = append(w.Endpoints, documents...)
	}
	r.manifest(manifest.Twice(w.Endpoints))
	for _, endpoint := range slices.Sorted(maps.Keys(w.Keys)) {
		if !slices.ContainsFunc(w.Endpoints, func(e manifest.Endpoint) bool { return e.ID == endpoint }) {
			r.bad.Add(filepath.Join(root, keysFile)+": "+endpoint, "is no endpoint of this export")
		}
	}
	return nil
}

// find gives the paths below a folder that match, in order.
func find(root, pattern string) ([]string, error) {
	found, err := fs.Glob(os.DirFS(root), pattern)
	for i, name := range found {
		found[i] = filepath.Join(root, filepath.FromSlash(name))
	}
	return found, err
}

func (r *reader) manifest(problems []manifest.Problem) {
	for _, p := range problems {
		r.bad = append(r.bad, Violation(p))
	}
}

// Violation words a problem of a document.
func Violation(p manifest.Problem) apierr.Violation {
	at := p.Place.String()
	if p.Field != "" {
		at += ": " + p.Field
	}
	return apierr.Violation{Field: at, Description: p.Description}
}

func (r *reader) number(at, text string) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 1 || strconv.FormatInt(n, 10) != text {
		r.bad.Add(at, "is no version: versions are 1, 2, 3, …")
		return 0
	}
	return n
}

// file reads a YAML file, and notes what is wrong in it.
func (r *reader) file(path string, must bool, into any) error {
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if must {
			r.bad.Add(path, "is missing")
		}
		return nil
	}
	if err != nil {
		return err
	}
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	decoder.KnownFields(true)
	err = decoder.Decode(into)
	if wrong, ok := errors.AsType[*yaml.TypeError](err); ok {
		for _, text := range wrong.Errors {
			r.bad.Add(path, "%s", strings.NewReplacer(" in type archive.", " of ").Replace(text))
		}
		return nil
	}
	if err != nil && !errors.Is(err, io.EOF) {
		r.bad.Add(path, "is not YAML that can be read: %v", err)
	}
	return nil
}
