// Package server answers HTTP: /metrics, /ceph, /-/healthy, /-/ready and the landing page.
//
// It turns a request into a context with the scraper's deadline and a filter, and leaves the rest
// to package collector. TLS, basic authentication and socket activation are the exporter-toolkit's.
package server
