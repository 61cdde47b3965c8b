// What this browser keeps for us from one visit to the next: keys and certificates, which it hands to nobody else.

const DATABASE = "ownstream";
const STORE = "keys";

/** @returns {Promise<IDBDatabase>} */
function open() {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(DATABASE, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE);
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
    request.onblocked = () => reject(new Error("blocked"));
  });
}

/**
 * @param {IDBTransactionMode} mode
 * @param {(store: IDBObjectStore) => IDBRequest} ask
 */
async function once(mode, ask) {
  const database = await open();
  try {
    return await new Promise((resolve, reject) => {
      const request = ask(database.transaction(STORE, mode).objectStore(STORE));
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
  } finally {
    database.close();
  }
}

/**
 * What was kept under this name, if anything was and can be had: private windows keep nothing.
 * @param {string} name
 * @returns {Promise<unknown>}
 */
export function kept(name) {
  return once("readonly", (store) => store.get(name)).catch(() => undefined);
}

/**
 * Keeps it, or says that it lasts as long as this tab.
 * @param {string} name
 * @param {unknown} value
 */
export async function keep(name, value) {
  await once("readwrite", (store) => store.put(value, name)).catch(() => console.info(`the ${name} lasts as long as this tab`));
}
