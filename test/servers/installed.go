package servers

import (
	"fmt"
	"os"
	"path/filepath"
)

// MissingError is the error for a program that is not installed.
type MissingError struct {
	// Program is the missing program: a path in Folder, or a program in PATH if Folder is
	// empty.
	Program, Folder string
}

func (e *MissingError) Error() string {
	if e.Folder == "" {
		return e.Program + " is not in PATH"
	}
	return fmt.Sprintf("%s is not in %s; `make servers` provides it", e.Program, e.Folder)
}

// find returns the path of a file that `make servers` provides.
func find(elem ...string) (string, error) {
	wanted := filepath.Join(elem...)
	folder := os.Getenv("KVDB_SERVERS")
	if folder == "" {
		var err error
		if folder, err = above(".servers"); err != nil {
			return "", err
		}
	}
	path := filepath.Join(folder, wanted)
	if _, err := os.Stat(path); err != nil {
		return "", &MissingError{wanted, folder}
	}
	return path, nil
}

// above returns the folder of that name that is in the current folder or in the
// nearest above it. Without one it is in the current folder.
func above(name string) (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for folder := start; ; folder = filepath.Dir(folder) {
		path := filepath.Join(folder, name)
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
		if folder == filepath.Dir(folder) {
			return filepath.Join(start, name), nil
		}
	}
}
