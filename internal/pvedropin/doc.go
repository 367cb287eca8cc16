// Package pvedropin answers /pve?target=&module=&cluster=&node= as prometheus-pve-exporter does, with
// its pve.yml, so that who moves from there changes an address and no more.
//
// What is different, and why: targets must be on a list, or whoever reaches the port has our token sent
// to a host of his; what is known is shown when a part fails, where that exporter answers 500; and a
// scrape ends with the time that its request has.
//
// The pieces: config.go reads pve.yml and PVE_* variables; targets.go holds the list; clients.go keeps
// API clients between scrapes; reader.go is a client as the page wants it; handler.go is the page.
//
// Goroutines: those of a scrape end with it, those of a client with its Close. A timer closes a client
// that nobody uses; Handler.Close closes all.
package pvedropin
