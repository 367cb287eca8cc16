// Package program knows the file that is put on every node: quorate itself, what it was built for, and
// its bytes.
package program

import (
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"fmt"
	"os"
	"sync"
)

// A Program is a built quorate.
type Program struct {
	Path string
	// OS and Arch are those it runs on, by Go's names: linux, amd64.
	OS, Arch string
	// Cgo is true if it was built with librados and corosync's libraries.
	Cgo  bool
	Data []byte
}

// A Source reads a program when it is needed, once.
type Source func() (Program, error)

// Running is the program that runs.
func Running() Source {
	return sync.OnceValues(func() (Program, error) {
		path, err := os.Executable()
		if err != nil {
			return Program{}, fmt.Errorf("find the program that is running: %w", err)
		}
		return Read(path)
	})
}

// Read reads a program. What it was built for stands in the file itself.
func Read(path string) (Program, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return Program{}, fmt.Errorf("read the program that is copied to the nodes: %w", err)
	}
	info, err := buildinfo.Read(bytes.NewReader(data))
	if err != nil {
		return Program{}, fmt.Errorf("%s does not say what it was built for: %w", path, err)
	}
	p := Program{Path: path, Data: data}
	for _, s := range info.Settings {
		switch s.Key {
		case "GOOS":
			p.OS = s.Value
		case "GOARCH":
			p.Arch = s.Value
		case "CGO_ENABLED":
			p.Cgo = s.Value == "1"
		}
	}
	return p, nil
}

// machines are the names that `uname -m` has for Go's, where there is a Proxmox VE.
var machines = map[string]string{"amd64": "x86_64", "arm64": "aarch64"}

// Machine is what `uname -m` says on a Linux machine that it runs on; "" if there is none.
func (p Program) Machine() string {
	if p.OS != "linux" {
		return ""
	}
	return machines[p.Arch]
}

// Sum is a file's SHA-256 as sha256sum(1) prints it.
func Sum(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// IsDeb says whether a file is a Debian package: an archive of ar(1) whose first member says so.
func IsDeb(data []byte) bool { return bytes.HasPrefix(data, []byte("!<arch>\ndebian-binary")) }
