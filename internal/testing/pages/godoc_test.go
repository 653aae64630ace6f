package pages

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// sources calls visit with the folder, relative to the root, and the files of each package
// that programs can import. It includes test files if tests is true.
func sources(t *testing.T, tests bool, visit func(folder string, set *token.FileSet, files []*ast.File)) {
	fset := token.NewFileSet()
	require.NoError(t, filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			return err
		}
		relative, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		switch name := entry.Name(); {
		case path != root && strings.HasPrefix(name, "."), name == "internal", name == "examples", name == "tools", name == "testdata":
			return filepath.SkipDir
		case relative == filepath.Join("test", "outside"): // another module
			return filepath.SkipDir
		}
		names, err := filepath.Glob(filepath.Join(path, "*.go"))
		if err != nil {
			return err
		}
		var files []*ast.File
		for _, name := range names {
			if strings.HasSuffix(name, "_test.go") != tests {
				continue
			}
			text, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			file, err := parser.ParseFile(fset, name, text, parser.ParseComments)
			if err != nil {
				return err
			}
			files = append(files, file)
		}
		if len(files) > 0 {
			visit(filepath.ToSlash(relative), fset, files)
		}
		return nil
	}))
}

// Every exported name has a comment: functions, types, their fields and methods, constants
// and variables. The comment of a group covers its constants or variables, and that of a
// field also covers the fields on the lines directly below. Error and String need no
// comment.
func TestExportedNamesHaveComments(t *testing.T) {
	var missing []*ast.Ident
	needs := func(name *ast.Ident, comments ...*ast.CommentGroup) {
		for _, comment := range comments {
			if strings.TrimSpace(comment.Text()) != "" {
				return
			}
		}
		if name.IsExported() {
			missing = append(missing, name)
		}
	}
	var fset *token.FileSet
	fields := func(list *ast.FieldList) {
		var comment *ast.CommentGroup
		last := 0 // line
		for _, field := range list.List {
			if field.Doc != nil || fset.Position(field.Pos()).Line > last+1 {
				comment = field.Doc
			}
			last = fset.Position(field.End()).Line
			for _, name := range field.Names {
				needs(name, comment, field.Comment)
			}
		}
	}
	seen := 0
	sources(t, false, func(_ string, set *token.FileSet, files []*ast.File) {
		fset = set
		for _, file := range files {
			if ast.IsGenerated(file) {
				continue
			}
			for _, declaration := range file.Decls {
				seen++
				switch d := declaration.(type) {
				case *ast.FuncDecl:
					if d.Recv == nil || receiver(d).IsExported() && d.Name.Name != "Error" && d.Name.Name != "String" {
						needs(d.Name, d.Doc)
					}
				case *ast.GenDecl:
					for _, spec := range d.Specs {
						switch s := spec.(type) {
						case *ast.TypeSpec:
							needs(s.Name, d.Doc, s.Doc)
							if !s.Name.IsExported() {
								continue
							}
							switch underlying := s.Type.(type) {
							case *ast.StructType:
								fields(underlying.Fields)
							case *ast.InterfaceType:
								fields(underlying.Methods)
							}
						case *ast.ValueSpec:
							for _, name := range s.Names {
								needs(name, d.Doc, s.Doc, s.Comment)
							}
						}
					}
				}
			}
		}
	})
	require.Greater(t, seen, 500, "declarations found")
	for _, name := range missing {
		t.Errorf("%v: %s has no comment", fset.Position(name.Pos()), name.Name)
	}
}

// receiver returns the type of a method.
func receiver(method *ast.FuncDecl) *ast.Ident {
	expression := method.Recv.List[0].Type
	for {
		switch e := expression.(type) {
		case *ast.StarExpr:
			expression = e.X
		case *ast.IndexExpr:
			expression = e.X
		case *ast.Ident:
			return e
		default:
			return ast.NewIdent("_")
		}
	}
}

// Every link in a comment to a name of the root package has a target.
func TestDocLinks(t *testing.T) {
	names := map[string]bool{}
	sources(t, false, func(folder string, _ *token.FileSet, files []*ast.File) {
		for _, file := range files {
			if folder == "." {
				for name := range file.Scope.Objects {
					names[name] = true
				}
			}
		}
	})
	checked := 0
	sources(t, false, func(folder string, set *token.FileSet, files []*ast.File) {
		for _, file := range files {
			for _, comment := range file.Comments {
				for _, link := range docLinkPattern.FindAllStringSubmatch(comment.Text(), -1) {
					if folder != "." && link[1] == "" {
						continue // a name of that package
					}
					checked++
					assert.True(t, names[link[2]], "%v: %s", set.Position(comment.Pos()), link[0])
				}
			}
		}
	})
	require.Greater(t, checked, 100, "links found")
}

// docLinkPattern matches a link to an exported name, with or without the package name kvdb.
var docLinkPattern = regexp.MustCompile(`\[(kvdb\.)?([A-Z]\w*)(?:\.\w+)?\]`)

// isNew reports whether f opens an instance of a backend.
func isNew(f *ast.FuncDecl) bool {
	return f.Name.Name == "New" && f.Type.Params.List[0].Names[0].Name == "domain"
}

// Every exported function of the root package and New of every backend has an
// example.
func TestExamples(t *testing.T) {
	examples := map[string]bool{}
	sources(t, true, func(folder string, _ *token.FileSet, files []*ast.File) {
		for _, file := range files {
			for _, declaration := range file.Decls {
				if f, ok := declaration.(*ast.FuncDecl); ok && f.Recv == nil {
					if name, is := strings.CutPrefix(f.Name.Name, "Example"); is {
						examples[folder+"."+name] = true
					}
				}
			}
		}
	})
	functions := 0
	sources(t, false, func(folder string, _ *token.FileSet, files []*ast.File) {
		for _, file := range files {
			for _, declaration := range file.Decls {
				f, ok := declaration.(*ast.FuncDecl)
				if !ok || f.Recv != nil || !f.Name.IsExported() {
					continue
				}
				if folder == "." || isNew(f) {
					functions++
					assert.True(t, examples[folder+"."+f.Name.Name], "%s: %s has no example", folder, f.Name.Name)
				}
			}
		}
	})
	require.Greater(t, functions, 15, "functions found")
}
