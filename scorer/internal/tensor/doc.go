// Package tensor has what models are asked with and answer with: tensors, requests, responses, and the signature that says which
// tensors a model takes and gives. It knows no protocol and no model.
//
// All of it is plain data without I/O. Nothing here changes a value that it was given; a value may be used from any goroutine as long
// as nobody changes it.
package tensor
