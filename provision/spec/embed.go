package spec

import (
	_ "embed"
	"slices"
)

//go:embed starter.yaml
var starter []byte

//go:embed schema.json
var schema []byte

// Starter is a commented file to start from.
func Starter() []byte { return slices.Clone(starter) }

// Schema is the JSON Schema of cluster.yaml.
func Schema() []byte { return slices.Clone(schema) }
