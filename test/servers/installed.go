package servers

import (
	"os"
	"path/filepath"
)

// MissingError says that a program is not installed.
type MissingError struct {
	Program string
}

func (e *MissingError) Error() string {
	return "the program " + e.Program + " is not here; `make servers` provides it"
}

// find returns the path of a file that `make servers` provides.
func find(elem ...string) (string, error) {
	wanted := filepath.Join(elem...)
	if folder := os.Getenv("KVDB_SERVERS"); folder != "" {
		return found(filepath.Join(folder, wanted))
	}
	folder, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		path, err := found(filepath.Join(folder, ".servers", wanted))
		if err == nil || folder == filepath.Dir(folder) {
			return path, err
		}
		folder = filepath.Dir(folder)
	}
}

func found(path string) (string, error) {
	if _, err := os.Stat(path); err != nil {
		return "", &MissingError{path}
	}
	return path, nil
}
