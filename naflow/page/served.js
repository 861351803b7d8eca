// The process that serves the page. In a page of the disk this script is left out.

/** What the process behind the page says of a file: a picture and its flows, or an error. */
async function explained(file) {
  try {
    const address = `explain?name=${encodeURIComponent(file.name)}`;
    return await (await fetch(address, { method: "POST", body: file })).json();
  } catch {
    return { error: "the process behind this page has ended. Start it again, and use its new page." };
  }
}
