package alerts

import (
	"embed"
	"io/fs"
)

//go:embed rules/*.yaml
var files embed.FS

// Rules are the rule files, by name: quorum.yaml and so on.
func Rules() fs.FS {
	sub, err := fs.Sub(files, "rules")
	if err != nil {
		panic(err) // the name is a constant and valid
	}
	return sub
}
