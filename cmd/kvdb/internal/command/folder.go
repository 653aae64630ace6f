package command

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/portworx/kvdb"
)

// A folder has a file for each key, whose content is the value. Components of keys are names of
// folders and files, in which % and two hexadecimal digits stand for a byte.
const (
	// emptyName stands for an empty component.
	emptyName = "%"
	// valueName is the value of the key that has the name of the folder, because there are
	// keys below it.
	valueName = "%value"
	// ttlName has the TTLs. All names that begin with a dot are no keys.
	ttlName = ".kvdb.json"
	// ttlVersion is the version of that file.
	ttlVersion = 1
)

// folderTTLs is the content of ttlName.
type folderTTLs struct {
	Version int `json:"version"`
	// TTL has the TTLs in seconds by the path of the key.
	TTL map[string]int64 `json:"ttl"`
}

// fileName returns the name for a component of a key.
func fileName(component string) string {
	if component == "" {
		return emptyName
	}
	var b strings.Builder
	for i := 0; i < len(component); {
		r, size := utf8.DecodeRuneInString(component[i:])
		plain := unicode.IsLetter(r) || unicode.IsDigit(r) || r == '.' && i > 0 || strings.ContainsRune("-_+=,@~", r)
		for _, c := range []byte(component[i : i+size]) {
			if plain && (r != utf8.RuneError || size > 1) {
				b.WriteByte(c)
			} else {
				fmt.Fprintf(&b, "%%%02X", c)
			}
		}
		i += size
	}
	return b.String()
}

// filePath returns the path of the file for a key.
func filePath(key string) string {
	names := strings.Split(key, kvdb.DefaultSeparator)
	for i, component := range names {
		names[i] = fileName(component)
	}
	return strings.Join(names, "/")
}

// parseName returns the component for the name of a file or folder.
func parseName(name string) (string, error) {
	if name == emptyName {
		return "", nil
	}
	var b strings.Builder
	for i := 0; i < len(name); i++ {
		if name[i] != '%' {
			b.WriteByte(name[i])
			continue
		}
		var c byte
		if i+3 > len(name) {
			return "", errName(name)
		} else if _, err := fmt.Sscanf(name[i+1:i+3], "%02X", &c); err != nil || strings.ContainsAny(name[i+1:i+3], " +-xX_") {
			return "", errName(name)
		}
		b.WriteByte(c)
		i += 2
	}
	return b.String(), nil
}

func errName(name string) error {
	return fmt.Errorf("%q is not the name of a key: %% must be followed by two hexadecimal digits, so write it as %%25", name)
}

// parsePath returns the key for the path of a file.
func parsePath(file string) (string, error) {
	if path.Base(file) == valueName {
		if file = path.Dir(file); file == "." {
			return "", fmt.Errorf("%q must be in the folder of a key", valueName)
		}
	}
	components := strings.Split(file, "/")
	for i, name := range components {
		var err error
		if components[i], err = parseName(name); err != nil {
			return "", err
		}
	}
	return strings.Join(components, kvdb.DefaultSeparator), nil
}

// folderWriter writes pairs, in the order of their keys, to a folder.
type folderWriter struct {
	root *os.Root
	// above are the keys before that are prefixes of the key, each one of the next.
	above []keyAbove
	ttls  map[string]int64
}

// keyAbove is a key, and whether its value has moved into the folder with its name.
type keyAbove struct {
	key   string
	moved bool
}

// newFolder creates a folder, which must be empty if it exists.
func newFolder(dir string) (*folderWriter, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, usagef("%w", err)
	}
	names, err := os.ReadDir(dir)
	if err == nil && len(names) > 0 {
		return nil, usagef("the folder %s is not empty: choose a new one", dir)
	}
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	return &folderWriter{root: root, ttls: map[string]int64{}}, err
}

// add writes a pair.
func (f *folderWriter) add(pair *kvdb.KVPair) error {
	for len(f.above) > 0 && !strings.HasPrefix(pair.Key, f.above[len(f.above)-1].key) {
		f.above = f.above[:len(f.above)-1]
	}
	for i := range f.above {
		above := &f.above[i]
		if strings.HasPrefix(pair.Key[len(above.key):], kvdb.DefaultSeparator) && !above.moved {
			if err := f.moveDown(filePath(above.key)); err != nil {
				return err
			}
			above.moved = true
		}
	}
	f.above = append(f.above, keyAbove{key: pair.Key})
	name := filePath(pair.Key)
	if pair.TTL > 0 {
		f.ttls[name] = pair.TTL
	}
	if err := f.root.MkdirAll(path.Dir(name), 0o700); err != nil {
		return err
	}
	return f.write(name, pair.Value)
}

// write writes a new file.
func (f *folderWriter) write(name string, text []byte) error {
	file, err := f.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	return errors.Join(err, file.Close())
}

// moveDown makes the file with that name a folder, and moves it into that.
func (f *folderWriter) moveDown(name string) error {
	const aside = ".value"
	if err := f.root.Rename(name, aside); err != nil {
		return err
	}
	if err := f.root.Mkdir(name, 0o700); err != nil {
		return err
	}
	return f.root.Rename(aside, path.Join(name, valueName))
}

// close writes the TTLs.
func (f *folderWriter) close() error {
	var err error
	if len(f.ttls) > 0 {
		var text []byte
		if text, err = json.MarshalIndent(folderTTLs{ttlVersion, f.ttls}, "", "\t"); err == nil {
			err = f.write(ttlName, append(text, '\n'))
		}
	}
	return errors.Join(err, f.root.Close())
}

// readFolder returns the pairs of a folder.
func readFolder(dir string) (pairs []*kvdb.KVPair, err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	ttls, err := readTTLs(root)
	if err != nil {
		return nil, err
	}
	err = fs.WalkDir(root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil || name == ".":
			return err
		case strings.HasPrefix(entry.Name(), ".") && entry.IsDir():
			return fs.SkipDir
		case strings.HasPrefix(entry.Name(), ".") || entry.IsDir():
			return nil
		case !entry.Type().IsRegular():
			return fmt.Errorf("%s is not a regular file", name)
		}
		key, err := parsePath(name)
		if err != nil {
			return err
		}
		value, err := root.ReadFile(name)
		if err != nil {
			return err
		}
		pair, err := newPair(key, value, ttls[filePath(key)])
		pairs = append(pairs, pair)
		return err
	})
	return pairs, err
}

// readTTLs returns the TTLs of the keys of a folder by their paths.
func readTTLs(root *os.Root) (map[string]int64, error) {
	text, err := root.ReadFile(ttlName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	var t folderTTLs
	if err := json.Unmarshal(text, &t); err != nil {
		return nil, fmt.Errorf("%s: %w", ttlName, err)
	}
	if t.Version != ttlVersion {
		return nil, fmt.Errorf("%s has version %d: use a newer kvdb", ttlName, t.Version)
	}
	return t.TTL, nil
}
