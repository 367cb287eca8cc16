//go:build !cgo

package ceph

func dialRados(Options, settings) (conn, error) {
	return nil, newError(ErrNotBuilt, nil, "this program was built without cgo and cannot talk to Ceph (use the packaged build)")
}
