output "bootstrap_brokers" {
  description = "The broker, host:port."
  value       = "${var.private_ip}:${var.port}"

  depends_on = [aws_volume_attachment.topics]
}

output "instance_id" {
  description = "The instance, as metrics have it."
  value       = aws_instance.this.id
}
