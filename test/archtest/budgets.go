package archtest

import (
	"fmt"
	"go/ast"
	"go/token"
	"path"
	"slices"
	"strings"
)

// Budget is how large things may grow.
type Budget struct {
	FileLines        int
	FunctionLines    int
	InterfaceMethods int
	// Names are package names that say nothing.
	Names []string
}

// DefaultBudget is the repository's.
func DefaultBudget() Budget {
	return Budget{
		FileLines: 600, FunctionLines: 90, InterfaceMethods: 5,
		Names: []string{"util", "utils", "common", "helper", "helpers", "shared", "base", "types", "misc", "manager", "lib"},
	}
}

// CheckBudgets gives everything that is too large or badly named.
func CheckBudgets(s *Source, b Budget) []string {
	var found []string
	for _, f := range s.Files {
		if f.Generated {
			continue
		}
		if name := f.Syntax.Name.Name; slices.Contains(b.Names, strings.TrimSuffix(name, "_test")) {
			found = append(found, fmt.Sprintf("%s: package %s says nothing: name it by what it is about", f.Path, name))
		}
		if f.Test {
			continue
		}
		if f.Lines > b.FileLines {
			found = append(found, fmt.Sprintf("%s has %d lines; at most %d", f.Path, f.Lines, b.FileLines))
		}
		found = append(found, s.largeFunctions(f, b.FunctionLines)...)
		found = append(found, s.largeInterfaces(f, b.InterfaceMethods)...)
	}
	return found
}

func (s *Source) largeFunctions(f File, most int) []string {
	var found []string
	for _, decl := range f.Syntax.Decls {
		fn, ok := decl.(*ast.FuncDecl)
		if !ok {
			continue
		}
		lines := s.Fset.Position(fn.End()).Line - s.Fset.Position(fn.Pos()).Line + 1
		if lines > most {
			found = append(found, fmt.Sprintf("%s: func %s has %d lines; at most %d", s.where(fn), fn.Name.Name, lines, most))
		}
	}
	return found
}

func (s *Source) largeInterfaces(f File, most int) []string {
	var found []string
	ast.Inspect(f.Syntax, func(n ast.Node) bool {
		face, ok := n.(*ast.InterfaceType)
		if !ok {
			return true
		}
		methods := 0
		for _, m := range face.Methods.List {
			methods += len(m.Names) // an embedded interface has no name: it has its own budget
		}
		if methods > most {
			found = append(found, fmt.Sprintf("%s: the interface has %d methods; at most %d, compose larger ones", s.where(face), methods, most))
		}
		return true
	})
	return found
}

// CheckDocs gives the packages that no comment describes.
func CheckDocs(s *Source) []string {
	documented := map[string]bool{}
	for _, f := range s.Files {
		if f.Test || f.Generated {
			continue
		}
		documented[f.Package] = documented[f.Package] || f.Syntax.Doc.Text() != ""
	}
	var found []string
	for pkg, ok := range documented {
		if !ok {
			found = append(found, pkg+": no comment says what the package is for, what it guarantees and what may be called at the same time")
		}
	}
	slices.Sort(found)
	return found
}

// CheckHabits gives the uses of what no code here does: init functions, sleeping,
// ending the process outside main, global loggers, and variables of packages that
// hold maps, slices or pointers.
func CheckHabits(s *Source) []string {
	var found []string
	for _, f := range s.Files {
		if f.Generated || f.Test {
			continue
		}
		found = append(found, s.mutableVariables(f)...)
		ast.Inspect(f.Syntax, func(n ast.Node) bool {
			if why := habit(f, n); why != "" {
				found = append(found, s.where(n)+": "+why)
			}
			return true
		})
	}
	return found
}

// mutableVariables gives the variables of a package that anybody in it can change
// the content of. Blank ones assert interfaces.
func (s *Source) mutableVariables(f File) []string {
	var found []string
	for _, decl := range f.Syntax.Decls {
		vars, ok := decl.(*ast.GenDecl)
		if !ok || vars.Tok != token.VAR {
			continue
		}
		for _, spec := range vars.Specs {
			value, ok := spec.(*ast.ValueSpec)
			if !ok {
				continue
			}
			for i, v := range value.Values {
				if i < len(value.Names) && value.Names[i].Name != "_" && mutable(v) {
					found = append(found, fmt.Sprintf("%s: var %s can be changed by everybody: make it a constant or a function", s.where(spec), value.Names[i].Name))
				}
			}
		}
	}
	return found
}

func mutable(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.UnaryExpr:
		return e.Op == token.AND
	case *ast.CompositeLit:
		switch t := e.Type.(type) {
		case *ast.MapType:
			return true
		case *ast.ArrayType:
			return t.Len == nil
		}
	case *ast.CallExpr:
		name, ok := e.Fun.(*ast.Ident)
		return ok && (name.Name == "make" || name.Name == "new")
	}
	return false
}

func habit(f File, n ast.Node) string {
	switch n := n.(type) {
	case *ast.FuncDecl:
		if n.Recv == nil && n.Name.Name == "init" {
			return "func init: nothing happens by being imported; call it where it is needed"
		}
	case *ast.CallExpr:
		call, ok := n.Fun.(*ast.SelectorExpr)
		if !ok {
			return ""
		}
		pkg, ok := call.X.(*ast.Ident)
		if !ok || !importsAs(f, pkg.Name) {
			return ""
		}
		switch name := pkg.Name + "." + call.Sel.Name; name {
		case "time.Sleep":
			return "time.Sleep: wait on a condition, or on a timer together with ctx"
		case "os.Exit":
			if f.Syntax.Name.Name != "main" {
				return "os.Exit: only main ends the process"
			}
		case "slog.Default", "slog.SetDefault", "slog.Info", "slog.Warn", "slog.Error", "slog.Debug", "slog.Log":
			return name + ": the logger is handed in"
		}
	}
	return ""
}

// importsAs says whether a name in a file is an imported package of that name.
func importsAs(f File, name string) bool {
	return slices.ContainsFunc(f.Imports(), func(i Import) bool { return path.Base(i.Path) == name })
}
