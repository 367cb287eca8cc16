//go:build race

package provisionproof

// raceEnabled says that everything takes several times as long.
const raceEnabled = true
