// Package contexts reads and writes the file that has the stores by name.
package contexts

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/portworx/kvdb/cmd/kvdb/internal/storeurl"
)

// File is the content of the file.
type File struct {
	// Current is the name of the context that is used without another one, or "".
	Current string `yaml:"current,omitempty"`
	// Contexts are the contexts by name.
	Contexts map[string]Context `yaml:"contexts"`
}

// Context is a store with a name.
type Context struct {
	// Store is the URL of the store.
	Store string `yaml:"store"`
	// Protected means that changes must name the context.
	Protected bool `yaml:"protected,omitempty"`
	// Secrets are values of options that are secret. A file with any is for its owner only.
	Secrets map[string]string `yaml:"secrets,omitempty"`
}

// Read returns the content of the file at path. A missing file has no contexts. An error says
// what is wrong with the file, and shows nothing secret.
func Read(path string) (File, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return File{Contexts: map[string]Context{}}, nil
	}
	if err != nil {
		return File{}, err
	}
	f, err := Parse(text)
	if err != nil {
		return File{}, fmt.Errorf("%s: %w", path, err)
	}
	return f, f.checkMode(path)
}

// Parse returns the content of a file.
func Parse(text []byte) (File, error) {
	var f File
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(&f); err != nil && !errors.Is(err, io.EOF) {
		// An error of the decoder may show values.
		if line, found := lineOf(err.Error()); found {
			return File{}, fmt.Errorf("line %s is not as the file must be: it has current, and contexts with store, protected and secrets", line)
		}
		return File{}, errors.New("the file is not YAML")
	}
	if f.Contexts == nil {
		f.Contexts = map[string]Context{}
	}
	for name, c := range f.Contexts {
		if err := CheckName(name); err != nil {
			return File{}, err
		}
		if _, err := storeurl.Parse(c.Store); err != nil {
			return File{}, fmt.Errorf("context %s: %w", name, err)
		}
		for option := range c.Secrets {
			if !storeurl.IsSecret(option) {
				return File{}, fmt.Errorf("context %s: option %q is not secret: write it into the URL", name, option)
			}
		}
	}
	if _, found := f.Contexts[f.Current]; f.Current != "" && !found {
		return File{}, fmt.Errorf("the current context is %q, which does not exist", f.Current)
	}
	return f, nil
}

// lineOf returns the number of the line in an error of the decoder.
func lineOf(text string) (string, bool) {
	_, after, found := strings.Cut(text, "line ")
	line, _, _ := strings.Cut(after, ":")
	return line, found && line != "" && strings.Trim(line, "0123456789") == ""
}

// CheckName returns an error if a context cannot have that name.
func CheckName(name string) error {
	const legal = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."
	if name == "" || strings.Trim(name, legal) != "" {
		return fmt.Errorf("the name %q of a context must have letters, digits, -, _ and . only", name)
	}
	return nil
}

// hasSecrets reports whether a context has secrets.
func (f File) hasSecrets() bool {
	for _, c := range f.Contexts {
		if len(c.Secrets) > 0 {
			return true
		}
	}
	return false
}

// checkMode returns an error if the file has secrets and others may read it.
func (f File) checkMode(path string) error {
	if !f.hasSecrets() || runtime.GOOS == "windows" {
		return nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("%s has secrets and others may read it: run chmod 600 %s", path, path)
	}
	return nil
}

// Write writes the file at path, in one step, and its folder if that is missing. Only its owner
// may read it.
func Write(path string, f File) error {
	text, err := yaml.Marshal(f)
	if err != nil {
		return err
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	temporary, err := os.CreateTemp(dir, ".config-*") // with mode 0600
	if err != nil {
		return err
	}
	_, err = temporary.Write(text)
	err = errors.Join(err, temporary.Sync(), temporary.Close())
	if err == nil {
		err = os.Rename(temporary.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temporary.Name()))
	}
	return nil
}
