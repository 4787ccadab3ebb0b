// Package report shows results to people and to programs.
//
// A [Writer] writes one record after another, either as text or as JSON: one
// object a line, each with a "type" field, as docs/output.md describes. The
// records are plain values ([Packet], [Event], [Printk], [Lost], [Map], [Run],
// [Summary], [Listing]), so whoever has results fills one in and hands it over;
// this package knows neither machine nor hook.
//
// A [Value] is bytes with the BTF type that tells what they mean, and is printed
// the same way wherever it appears: as a map's key, an event, a variable.
package report
