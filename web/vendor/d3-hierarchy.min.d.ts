// What the pages need of it: it puts itself into globalThis.d3.
export {};
