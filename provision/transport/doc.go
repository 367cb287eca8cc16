// Package transport reaches the nodes: their API, and a shell as root where there is no API.
//
// A Fleet holds one connection of each kind a node. What the steps see are the interfaces API, Shell
// and Set, so that a plan runs on ReadOnly, which lets nothing but reads pass, and tests on decorators
// that count, fail and die.
//
//   - transport.go: the interfaces; commands.go: every command that is run on a node;
//   - fleet.go, api.go, pins.go: the API by ticket, over internal/source/pve, and certificates;
//   - pvesh.go: the same API through pvesh on an SSH connection, without a password;
//   - ssh.go, hostkeys.go, external.go: SSH, by x/crypto/ssh or a command of the user's;
//   - readonly.go: the guard of plan; retry.go: which errors are worth looking again;
//   - deadman.go: puts a node's network back unless told that all is well.
//
// Goroutines: those of golang.org/x/crypto/ssh and of one session each, which end with Close.
package transport
