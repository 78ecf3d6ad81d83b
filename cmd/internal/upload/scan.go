// Package upload takes files to the artefact service and brings them back.
//
// Contents are addressed by SHA-256: what the server has is not sent again, and
// what was cut off goes on where it stopped. No file is held in memory as a whole.
package upload

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
	"slices"

	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
)

// MaxFiles is how many files one upload may have.
const MaxFiles = 10000

// ErrTooManyFiles says that a folder has more files than one upload may have.
var ErrTooManyFiles = fmt.Errorf("has more than %d files; point to a folder that holds only what is needed", MaxFiles)

// File is a file on this machine and what it is called at the server.
type File struct {
	Path   string // at the server: relative, with slashes
	Local  string
	SHA256 string // empty until it is hashed
	Size   int64
}

// Scan finds the files of a path: a file under its base name, a folder with all
// files under their relative paths. Version control and Python's caches are left out.
func Scan(path string) ([]File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		if !info.Mode().IsRegular() {
			return nil, fmt.Errorf("%s is neither a file nor a folder", path)
		}
		return []File{{Path: filepath.Base(path), Local: path, Size: info.Size()}}, nil
	}
	files, err := scanFolder(path, func(string, bool) bool { return false })
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%s holds no files", path)
	}
	return files, nil
}

// ScanModel is Scan for a model: the files of a folder keep the folder's name,
// because entry scripts look for it below AZUREML_MODEL_DIR.
func ScanModel(path string) ([]File, error) {
	files, err := Scan(path)
	if err != nil {
		return nil, err
	}
	if info, err := os.Stat(path); err != nil || !info.IsDir() {
		return files, err
	}
	whole, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	for i := range files {
		files[i].Path = filepath.ToSlash(filepath.Join(filepath.Base(whole), files[i].Path))
	}
	return files, nil
}

// scanFolder finds the files of a folder. leaveOut hears of each file and folder
// by its path in there, with slashes, and says which to leave out.
func scanFolder(root string, leaveOut func(path string, isDir bool) bool) ([]File, error) {
	var files []File
	// A folder that is given by a link is walked by its target.
	resolved, err := filepath.EvalSymlinks(root)
	if err != nil {
		return nil, err
	}
	err = filepath.WalkDir(resolved, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(resolved, path)
		if err != nil {
			return err
		}
		relative = filepath.ToSlash(relative)
		if entry.IsDir() {
			if path != resolved && (skipped(entry.Name()) || leaveOut(relative, true)) {
				return filepath.SkipDir
			}
			return nil
		}
		if leaveOut(relative, false) {
			return nil
		}
		info, err := os.Stat(path) // follows a link to a file
		if errors.Is(err, fs.ErrNotExist) || err == nil && !info.Mode().IsRegular() {
			return nil // a dangling link, a link to a folder, a socket
		}
		if err != nil {
			return err
		}
		if len(files) == MaxFiles {
			return ErrTooManyFiles
		}
		files = append(files, File{Path: relative, Local: path, Size: info.Size()})
		return nil
	})
	return files, err
}

func skipped(folder string) bool {
	return slices.Contains([]string{".git", ".hg", ".svn", "__pycache__", ".ipynb_checkpoints"}, folder)
}

// Hash fills in digest and size of every file.
func Hash(ctx context.Context, files []File) error {
	for i := range files {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		if err := hashFile(ctx, &files[i]); err != nil {
			return err
		}
	}
	return nil
}

func hashFile(ctx context.Context, f *File) error {
	content, err := os.Open(f.Local)
	if err != nil {
		return err
	}
	defer func() { _ = content.Close() }()
	digest := sha256.New()
	f.Size, err = io.Copy(digest, &untilDone{ctx: ctx, r: content})
	if err != nil {
		return fmt.Errorf("read %s: %w", f.Local, err)
	}
	f.SHA256 = hex.EncodeToString(digest.Sum(nil))
	return nil
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

// Artefacts gives the files as the API wants them.
func Artefacts(files []File) []*deployv1.ArtefactFile {
	out := make([]*deployv1.ArtefactFile, len(files))
	for i, f := range files {
		out[i] = &deployv1.ArtefactFile{Path: f.Path, Sha256: f.SHA256, SizeBytes: f.Size}
	}
	return out
}

// Size gives the size of all files together.
func Size(files []File) int64 {
	var sum int64
	for _, f := range files {
		sum += f.Size
	}
	return sum
}

// Describe says how much the files are.
func Describe(files []File, size func(int64) string) string {
	return number(files) + ", " + size(Size(files))
}

func number(files []File) string {
	if len(files) == 1 {
		return "1 file"
	}
	return fmt.Sprintf("%d files", len(files))
}
