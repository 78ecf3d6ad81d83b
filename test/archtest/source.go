package archtest

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// modulePrefix is what the import paths of all modules begin with.
const modulePrefix = "github.com/fairlead/fairlead/"

// File is one parsed Go file.
type File struct {
	Path      string // from the root, with slashes
	Package   string // its folder from the root, as rules name it
	Test      bool
	Generated bool
	Lines     int
	Syntax    *ast.File
}

// Import is what a file imports: of this repository from its root, else as it
// is written.
type Import struct {
	Path string
	Own  bool
}

// Source is a parsed tree.
type Source struct {
	Fset  *token.FileSet
	Files []File
}

// Load parses all Go files of a tree, without test data and hidden folders.
func Load(tree fs.FS) (*Source, error) {
	s := &Source{Fset: token.NewFileSet()}
	err := fs.WalkDir(tree, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return skipDir(name, entry.Name())
		}
		if path.Ext(name) != ".go" {
			return nil
		}
		content, err := fs.ReadFile(tree, name)
		if errors.Is(err, fs.ErrNotExist) { // deleted since the folder was read
			return nil
		}
		if err != nil {
			return err
		}
		return s.add(name, content)
	})
	return s, err
}

func skipDir(name, base string) error {
	if name != "." && (strings.HasPrefix(base, ".") || base == "testdata" || base == "node_modules" || name == "bin") {
		return fs.SkipDir
	}
	return nil
}

func (s *Source) add(name string, content []byte) error {
	syntax, err := parser.ParseFile(s.Fset, name, content, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return fmt.Errorf("parse %s: %w", name, err)
	}
	s.Files = append(s.Files, File{
		Path:      name,
		Package:   path.Dir(name),
		Test:      strings.HasSuffix(name, "_test.go"),
		Generated: ast.IsGenerated(syntax),
		Lines:     bytes.Count(content, []byte("\n")),
		Syntax:    syntax,
	})
	return nil
}

// Imports lists what a file imports.
func (f File) Imports() []Import {
	imports := make([]Import, 0, len(f.Syntax.Imports))
	for _, spec := range f.Syntax.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue // the parser would have refused it
		}
		own, found := strings.CutPrefix(p, modulePrefix)
		imports = append(imports, Import{Path: own, Own: found})
	}
	return imports
}

// standard says whether an import is of the standard library.
func (i Import) standard() bool {
	first, _, _ := strings.Cut(i.Path, "/")
	return !i.Own && !strings.Contains(first, ".")
}

// where gives file:line of a node.
func (s *Source) where(n ast.Node) string {
	p := s.Fset.Position(n.Pos())
	return fmt.Sprintf("%s:%d", p.Filename, p.Line)
}
