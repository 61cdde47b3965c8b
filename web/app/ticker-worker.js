// The worker behind ticker.js: told once how many milliseconds lie between two beats.
self.onmessage = (event) => {
  setInterval(() => self.postMessage(0), event.data);
};
