// Package tensorjson reads and writes tensors as JSON arrays, nested or flat, without making a value per element.
//
// It reads a little more than JSON: NaN, Infinity and -Infinity, bare as Python writes them or as strings, are floating-point numbers. It
// writes them as strings, so that every parser reads them. Errors are for the caller who sent the text; input of any kind gives an
// answer or an error in time and memory that grow with its length. There is no state.
package tensorjson
