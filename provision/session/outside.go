package session

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// OSFiles are the files of this machine.
type OSFiles struct{}

// Exists implements steps.Files.
func (OSFiles) Exists(path string) (bool, error) {
	i, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return i.Size() > 0, nil
}

// Read implements steps.Files.
func (OSFiles) Read(path string) ([]byte, error) { return os.ReadFile(path) }

// Write implements steps.Files. The file is renamed into place, so that nobody reads half of it.
func (OSFiles) Write(path string, data []byte, mode uint32) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".quorate-*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(fs.FileMode(mode)), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

// Remove implements steps.Files.
func (OSFiles) Remove(path string) error {
	err := os.Remove(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
